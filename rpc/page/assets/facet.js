// The page of a Facet server: what its cluster looks like, how it does, and a
// conversation with its model. Asks the server it came from and nobody else.
'use strict';

const $ = (id) => document.getElementById(id);
const SECONDS = 120;  // that plots show

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    ++unit;
  }
  return `${count.toFixed(unit && count < 100 ? 1 : 0)} ${units[unit]}`;
}

function seconds(value) {
  if (value === null) return '';
  return value < 1 ? `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`
                   : `${value.toFixed(2)} s`;
}

function headers(more) {
  const key = $('key').value;
  return {...more, ...(key ? {Authorization: `Bearer ${key}`} : {})};
}

async function get(path) {
  const answer = await fetch(path, {headers: headers({}), cache: 'no-store'});
  if (!answer.ok) {
    const said = (await answer.text()).slice(0, 200);
    throw new Error(answer.status === 401 ? 'this server wants an API key'
                                          : `${answer.status}: ${said}`);
  }
  return answer;
}

// --- metrics ---------------------------------------------------------------

// Prometheus' text as a map from name{labels} to its value, model_name left
// out.
function parseMetrics(text) {
  const values = new Map();
  for (const line of text.split('\n')) {
    if (!line || line[0] === '#') continue;
    const end = line.lastIndexOf(' ');
    const name = line.slice(0, end)
        .replace(/model_name="(?:[^"\\]|\\.)*",?/, '')
        .replace(/,\}/, '}').replace(/\{\}/, '');
    values.set(name, Number(line.slice(end + 1)));
  }
  return values;
}

// The value below which `share` of what a histogram gained since `before` lies;
// null where it gained nothing.
function quantile(now, before, name, share) {
  const bounds = [];
  for (const [key, value] of now) {
    if (!key.startsWith(`${name}_bucket{`)) continue;
    const bound = /le="([^"]+)"/.exec(key)[1];
    bounds.push([bound === '+Inf' ? Infinity : Number(bound),
                 value - (before.get(key) || 0)]);
  }
  bounds.sort((a, b) => a[0] - b[0]);
  const total = bounds.length ? bounds[bounds.length - 1][1] : 0;
  if (!(total > 0)) return null;
  let low = 0, below = 0;
  for (const [bound, count] of bounds) {
    if (count >= share * total) {
      if (bound === Infinity) return low;
      return low + (bound - low) * (share * total - below) / (count - below);
    }
    low = bound;
    below = count;
  }
  return low;
}

const history = {rate: [], first: [], between: [], running: [], waiting: []};
let last = null;  // {time, values}

function note(name, value) {
  history[name].push(value);
  if (history[name].length > SECONDS) history[name].shift();
}

function draw(id, lists) {
  const svg = $(id);
  svg.setAttribute('viewBox', `0 0 ${SECONDS - 1} 100`);
  svg.setAttribute('preserveAspectRatio', 'none');
  const top = Math.max(1e-9, ...lists.flat().filter((one) => one !== null));
  svg.replaceChildren(...lists.map((list, index) => {
    const line = document.createElementNS('http://www.w3.org/2000/svg',
                                          'polyline');
    if (index) line.setAttribute('class', 'second');
    const left = SECONDS - list.length;
    line.setAttribute('points', list
        .map((value, i) => [left + i, value])
        .filter(([, value]) => value !== null)
        .map(([x, value]) => `${x},${98 - 92 * value / top}`).join(' '));
    return line;
  }));
}

function showLive(values, time) {
  if (last !== null) {
    const passed = (time - last.time) / 1000;
    const tokens = 'facet:generation_tokens_total';
    note('rate', Math.max(0, (values.get(tokens) || 0) -
                             (last.values.get(tokens) || 0)) / passed);
    note('first', quantile(values, last.values,
                           'facet:time_to_first_token_seconds', 0.5));
    note('between', quantile(values, last.values,
                             'facet:inter_token_latency_seconds', 0.5));
  }
  note('running', values.get('facet:num_requests_running') || 0);
  note('waiting', values.get('facet:num_requests_waiting') || 0);
  last = {time, values};
  const latest = (list) => list.length ? list[list.length - 1] : null;
  $('rate-now').textContent =
      latest(history.rate) === null ? '' : latest(history.rate).toFixed(1);
  $('first-now').textContent = seconds(latest(history.first));
  $('between-now').textContent = seconds(latest(history.between));
  $('requests-now').textContent =
      `${latest(history.running)}, ${latest(history.waiting)}`;
  draw('rate', [history.rate]);
  draw('first', [history.first]);
  draw('between', [history.between]);
  draw('requests', [history.running, history.waiting]);
}

// --- cluster ---------------------------------------------------------------

let cluster = null;

function bar(parts) {
  const made = element('div', 'bar');
  for (const [className, share] of parts) {
    const part = element('i', className);
    part.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
    made.append(part);
  }
  return made;
}

function showCluster(values) {
  const value = (name) => values.get(`facet:${name}`) || 0;
  const pages = (state) => value(`kv_pages{pool="sliding",state="${state}"}`) +
                           value(`kv_pages{pool="global",state="${state}"}`);
  const all = pages('used') + pages('cached') + pages('free') || 1;
  const most = Math.max(...cluster.ranks.map(
      (rank) => rank.weight_bytes + rank.kv_bytes), 1);
  const stages = [];
  for (const rank of cluster.ranks) {
    if (!stages[rank.stage]) {
      const stage = element('div', 'stage');
      stage.append(element('div', 'name', `stage ${rank.stage}`));
      stage.firstChild.append(element(
          'div', 'note', `layers ${rank.first_layer}–${rank.last_layer}`));
      stages[rank.stage] = stage;
    }
    const up = values.get(`facet:worker_up{rank="${rank.rank}"}`) !== 0;
    const box = element('div', up ? 'rank' : 'rank down');
    box.dataset.rank = rank.rank;
    const head = element('div', 'head', `rank ${rank.rank}`);
    head.append(element('span', 'note', up ? '' : 'down'));
    box.append(
        head, bar([['weights', rank.weight_bytes / most]]),
        element('div', 'note', `weights ${bytes(rank.weight_bytes)}`),
        bar([['', pages('used') / all], ['cached', pages('cached') / all]]),
        element('div', 'note', `KV ${(100 * pages('used') / all).toFixed(0)} ` +
                               `% of ${bytes(rank.kv_bytes)}`));
    stages[rank.stage].append(box);
  }
  $('cluster').replaceChildren(...stages.filter(Boolean));
}

async function tick() {
  try {
    if (cluster === null) cluster = await (await get('/cluster')).json();
    const values = parseMetrics(await (await get('/metrics')).text());
    showCluster(values);
    showLive(values, performance.now());
    $('summary').textContent =
        `${cluster.model}, ${cluster.layers} layers, context ` +
        `${cluster.context_tokens} tokens, ${cluster.pp} × ${cluster.tp} ranks`;
    document.body.dataset.live = 'yes';
  } catch (error) {
    cluster = null;
    last = null;
    $('summary').textContent = error.message;
    document.body.dataset.live = 'no';
  }
  setTimeout(tick, 1000);
}

// --- chat ------------------------------------------------------------------

const messages = [];
let images = [];  // data: URLs
let running = null;  // AbortController of the answer under way

function turn(kind) {
  const made = element('div', `turn ${kind}`);
  $('turns').append(made);
  return made;
}

// Shows an answer while it comes; `take` gets its deltas.
class Answer {
  constructor() {
    this.box = turn('assistant');
    this.thought = this.content = '';
    this.calls = [];
  }

  take(delta) {
    if (delta.reasoning_content) {
      if (!this.thought) this.thoughtBox = this.part('thought');
      this.thought += delta.reasoning_content;
      this.thoughtBox.textContent = this.thought;
    }
    if (delta.content) {
      if (!this.content) this.contentBox = this.part('content');
      this.content += delta.content;
      this.contentBox.textContent = this.content;
    }
    for (const piece of delta.tool_calls || []) {
      if (!this.calls[piece.index]) {
        this.calls[piece.index] = {
          id: piece.id, type: 'function',
          function: {name: piece.function.name, arguments: ''},
          box: this.part('call'),
        };
      }
      const call = this.calls[piece.index];
      call.function.arguments += piece.function?.arguments || '';
      call.box.textContent = `${call.function.name} ${call.function.arguments}`;
    }
    this.box.scrollIntoView({block: 'nearest'});
  }

  part(className) {
    const made = element('div', className);
    this.box.append(made);
    return made;
  }

  fail(message) { this.part('error').textContent = message; }

  message() {
    const said = {role: 'assistant', content: this.content};
    if (this.calls.length) {
      if (this.thought) said.reasoning_content = this.thought;
      said.tool_calls = this.calls.map(
          ({id, type, function: called}) => ({id, type, function: called}));
    }
    return said;
  }
}

// Calls `take` with each event of a stream.
async function readEvents(answer, take) {
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const {done, value} = await reader.read();
    if (done) throw new Error('the answer broke off');
    text += decoder.decode(value, {stream: true});
    for (let end; (end = text.indexOf('\n\n')) >= 0;
         text = text.slice(end + 2)) {
      const data = text.slice(0, end).replace(/^data: /, '');
      if (data === '[DONE]') return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      take(event);
    }
  }
}

function body() {
  const request = {messages, stream: true,
                   stream_options: {include_usage: true},
                   enable_thinking: $('think').checked};
  if ($('temperature').value) {
    request.temperature = Number($('temperature').value);
  }
  if ($('tools').value.trim()) request.tools = JSON.parse($('tools').value);
  return JSON.stringify(request);
}

async function ask() {
  const shown = new Answer();
  running = new AbortController();
  $('send').hidden = true;
  $('stop').hidden = false;
  const began = performance.now();
  let first = null;
  try {
    const answer = await fetch('/v1/chat/completions', {
      method: 'POST', body: body(), signal: running.signal,
      headers: headers({'Content-Type': 'application/json'}),
    });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    await readEvents(answer, (event) => {
      if (event.choices[0]) {
        const delta = event.choices[0].delta;
        if (first === null && (delta.content || delta.reasoning_content ||
                               delta.tool_calls)) {
          first = (performance.now() - began) / 1000;
        }
        shown.take(delta);
      } else if (event.usage) {
        const passed = (performance.now() - began) / 1000;
        shown.part('note').textContent =
            `${event.usage.completion_tokens} tokens, first after ` +
            `${seconds(first)}, all in ${seconds(passed)}`;
      }
    });
    messages.push(shown.message());
    askForResults(shown.calls);
  } catch (error) {
    if (error.name === 'AbortError') {
      shown.part('note').textContent = '(stopped)';
      messages.push(shown.message());
    } else {
      shown.fail(error.message);
      messages.pop();
    }
  }
  running = null;
  $('send').hidden = false;
  $('stop').hidden = true;
}

// Where the model called tools, the next lines are their results.
let waiting = [];

function askForResults(calls) {
  waiting = calls.slice();
  $('text').placeholder = waiting.length
      ? `Result of ${waiting[0].function.name}`
      : 'Say something. Enter sends, Shift+Enter begins a line.';
}

function send() {
  const text = $('text').value;
  if (running || (!text.trim() && !images.length)) return;
  $('text').value = '';
  if (waiting.length) {
    const call = waiting.shift();
    turn('tool').textContent = `${call.function.name}: ${text}`;
    messages.push({role: 'tool', tool_call_id: call.id,
                   name: call.function.name, content: text});
    const more = waiting;
    askForResults(more);
    if (!more.length) ask();
    return;
  }
  const shown = turn('user');
  let content = text;
  if (images.length) {
    content = images.map((url) => ({type: 'image_url', image_url: {url}}));
    if (text.trim()) content.push({type: 'text', text});
    for (const url of images) {
      const picture = element('img');
      picture.src = url;
      shown.append(picture);
    }
  }
  shown.append(text);
  messages.push({role: 'user', content});
  images = [];
  $('images').replaceChildren();
  ask();
}

function takeImages(files) {
  for (const file of files) {
    const reader = new FileReader();
    reader.onload = () => {
      images.push(reader.result);
      const picture = element('img');
      picture.src = reader.result;
      $('images').append(picture);
    };
    reader.readAsDataURL(file);
  }
}

function start() {
  $('key').value = sessionStorage.getItem('key') || '';
  $('key').addEventListener(
      'change', () => sessionStorage.setItem('key', $('key').value));
  $('ask').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
  $('text').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  });
  $('stop').addEventListener('click', () => running && running.abort());
  $('clear').addEventListener('click', () => {
    if (running) running.abort();
    messages.length = 0;
    askForResults([]);
    $('turns').replaceChildren();
  });
  $('image').addEventListener('change', () => {
    takeImages($('image').files);
    $('image').value = '';
  });
  tick();
}

start();
