#include "runtime/grammar/json_number.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"

namespace facet {
namespace {

constexpr int kExactDigits = 15;  // that survive a double

int CompareMagnitudes(const Decimal& x, const Decimal& y) {
  if (x.integer.size() != y.integer.size()) {
    return x.integer.size() < y.integer.size() ? -1 : 1;
  }
  const int integers = x.integer.compare(y.integer);
  return integers != 0 ? integers : x.fraction.compare(y.fraction);
}

// Numbers of `length` digits before the point, from a non-negative lower to an
// upper bound, digit by digit: as long as all digits so far are those of a
// bound (on_low, on_high), the next one is restricted by it.
class DigitRange {
 public:
  DigitRange(const Bound& low, const std::optional<Bound>& high, int length,
             int max_fraction, GrammarBuilder* builder)
      : low_(low), high_(high), length_(length), builder_(*builder) {
    low_digits_ = Digits(low.value);
    if (high.has_value()) high_digits_ = Digits(high->value);
    places_ = length + max_fraction;
  }

  Expr All() {
    return From(0, low_.value.integer.size() == Length(),
                high_.has_value() && high_->value.integer.size() == Length());
  }

 private:
  size_t Length() const { return static_cast<size_t>(length_); }

  // Aligned at the point; meaningful only for numbers of length_ digits.
  static std::string Digits(const Decimal& value) {
    return value.integer + value.fraction;
  }
  static int DigitAt(const std::string& digits, int place) {
    return static_cast<size_t>(place) < digits.size() ? digits[place] - '0' : 0;
  }
  static bool ZerosFrom(const std::string& digits, int place) {
    return static_cast<size_t>(place) >= digits.size() ||
           digits.find_first_not_of('0', place) == digits.npos;
  }

  Expr Class(int low, int high) {
    return builder_.Class({{static_cast<char32_t>('0' + low),
                            static_cast<char32_t>('0' + high)}});
  }

  // What may follow `place` digits.
  Expr From(int place, bool on_low, bool on_high) {
    if (builder_.full()) return builder_.Never();
    if (on_low && !low_.exclusive && ZerosFrom(low_digits_, place)) {
      on_low = false;  // anything from here on is at least the bound
    }
    if (!on_low && !on_high) return Free(place);
    std::vector<Expr> ways;
    if (place >= length_) {
      const bool above = !on_low;  // else some digit is missing, or it is equal
      const bool below =
          !on_high || !high_->exclusive || !ZerosFrom(high_digits_, place);
      if (above && below) ways.push_back(builder_.Empty());
      // Only zeros could follow the digits of the upper bound.
      if (on_high && ZerosFrom(high_digits_, place)) {
        return builder_.Either(std::move(ways));
      }
    }
    if (place < places_) {
      const Expr more = NextDigit(place, on_low, on_high);
      ways.push_back(place == length_
                         ? builder_.Concat({builder_.Literal("."), more})
                         : more);
    }
    return builder_.Either(std::move(ways));
  }

  Expr NextDigit(int place, bool on_low, bool on_high) {
    const int least = place == 0 && length_ > 1 ? 1 : 0;
    int low = on_low ? DigitAt(low_digits_, place) : least;
    int high = on_high ? DigitAt(high_digits_, place) : 9;
    std::vector<Expr> ways;
    const auto add = [&](int first, int last, bool stays_low, bool stays_high) {
      ways.push_back(builder_.Concat(
          {Class(first, last), From(place + 1, stays_low, stays_high)}));
    };
    if (low > high) return builder_.Never();
    if (low == high) {
      add(low, low, on_low, on_high);
      return ways[0];
    }
    if (on_low) add(low, low, true, false), ++low;
    if (on_high) add(high, high, false, true), --high;
    if (low <= high) add(low, high, false, false);
    return builder_.Either(std::move(ways));
  }

  Expr Free(int place) {
    const Expr digit = Class(0, 9);
    const int left = places_ - std::max(place, length_);
    std::vector<Expr> parts;
    if (place < length_) {
      int digits = length_ - place;
      if (place == 0 && length_ > 1) {
        parts.push_back(Class(1, 9));
        --digits;
      }
      parts.push_back(builder_.Repeat(digit, digits, digits));
    }
    if (left > 0) {
      parts.push_back(place <= length_ ? builder_.Optional(builder_.Concat(
                                             {builder_.Literal("."),
                                              builder_.Repeat(digit, 1, left)}))
                                       : builder_.Repeat(digit, 0, left));
    }
    return builder_.Concat(std::move(parts));
  }

  const Bound low_;
  const std::optional<Bound> high_;
  const int length_;
  int places_;
  GrammarBuilder& builder_;
  std::string low_digits_;
  std::string high_digits_;
};

// Numbers without a sign between bounds that are not negative.
Expr Magnitudes(const Bound& low, const std::optional<Bound>& high,
                bool integers, GrammarBuilder* builder) {
  const int shortest = static_cast<int>(low.value.integer.size());
  const int longest = high.has_value()
                          ? static_cast<int>(high->value.integer.size())
                          : kMaxIntegerDigits;
  std::vector<Expr> ways;
  for (int length = shortest; length <= std::min(longest, kMaxIntegerDigits);
       ++length) {
    size_t fraction = std::max(kExactDigits - length, 0);
    fraction = std::max(fraction, low.value.fraction.size());
    if (high.has_value()) {
      fraction = std::max(fraction, high->value.fraction.size());
    }
    fraction = integers ? 0 : std::min<size_t>(fraction, kMaxIntegerDigits);
    ways.push_back(
        DigitRange(low, high, length, static_cast<int>(fraction), builder)
            .All());
  }
  return builder->Either(std::move(ways));
}

}  // namespace

std::optional<Decimal> ParseDecimal(absl::string_view text) {
  Decimal value;
  value.negative = !text.empty() && text[0] == '-';
  if (value.negative) text.remove_prefix(1);
  int exponent = 0;
  const size_t e = text.find_first_of("eE");
  if (e != text.npos) {
    absl::string_view digits = text.substr(e + 1);
    if (!digits.empty() && digits[0] == '+') digits.remove_prefix(1);
    if (!absl::SimpleAtoi(digits, &exponent) || exponent > 400 ||
        exponent < -400) {
      return std::nullopt;
    }
    text = text.substr(0, e);
  }
  const size_t point = text.find('.');
  value.integer = std::string(text.substr(0, point));
  if (point != text.npos) value.fraction = std::string(text.substr(point + 1));
  for (; exponent > 0; --exponent) {
    value.integer += value.fraction.empty() ? '0' : value.fraction[0];
    if (!value.fraction.empty()) value.fraction.erase(0, 1);
  }
  for (; exponent < 0; ++exponent) {
    value.fraction.insert(0, 1,
                          value.integer.empty() ? '0' : value.integer.back());
    if (!value.integer.empty()) value.integer.pop_back();
  }
  value.integer.erase(0, value.integer.find_first_not_of('0'));
  if (value.integer.empty()) value.integer.assign(1, '0');
  value.fraction.erase(value.fraction.find_last_not_of('0') + 1);
  if (value.is_zero()) value.negative = false;
  return value;
}

int Compare(const Decimal& x, const Decimal& y) {
  if (x.negative != y.negative) return x.negative ? -1 : 1;
  const int magnitudes = CompareMagnitudes(x, y);
  return x.negative ? -magnitudes : magnitudes;
}

bool NumberRange::Contains(const Decimal& value) const {
  if (low.has_value()) {
    const int order = Compare(value, low->value);
    if (order < 0 || (order == 0 && low->exclusive)) return false;
  }
  if (high.has_value()) {
    const int order = Compare(value, high->value);
    if (order > 0 || (order == 0 && high->exclusive)) return false;
  }
  return true;
}

void NumberRange::RaiseLow(const Bound& bound) {
  const int order = low.has_value() ? Compare(bound.value, low->value) : 1;
  if (order > 0 || (order == 0 && bound.exclusive)) low = bound;
}

void NumberRange::LowerHigh(const Bound& bound) {
  const int order = high.has_value() ? Compare(bound.value, high->value) : -1;
  if (order < 0 || (order == 0 && bound.exclusive)) high = bound;
}

bool Disjoint(const NumberRange& x, const NumberRange& y) {
  const auto below = [](const std::optional<Bound>& high,
                        const std::optional<Bound>& low) {
    if (!high.has_value() || !low.has_value()) return false;
    const int order = Compare(high->value, low->value);
    return order < 0 || (order == 0 && (high->exclusive || low->exclusive));
  };
  return below(x.high, y.low) || below(y.high, x.low);
}

Expr NumbersIn(const NumberRange& range, bool integers,
               GrammarBuilder* builder) {
  const Decimal zero;
  std::vector<Expr> ways;
  const auto magnitude = [](Bound bound) {
    bound.value.negative = false;
    return bound;
  };
  const bool high_negative =
      range.high.has_value() && range.high->value.negative;
  if (!high_negative) {
    Bound low = {.value = zero};
    if (range.low.has_value() && !range.low->value.negative) low = *range.low;
    ways.push_back(Magnitudes(low, range.high, integers, builder));
  }
  if (!range.low.has_value() || range.low->value.negative) {
    // Mirrored: the upper bound is the least magnitude.
    const Bound least = high_negative ? magnitude(*range.high)
                                      : Bound{.value = zero, .exclusive = true};
    std::optional<Bound> most;
    if (range.low.has_value()) most = magnitude(*range.low);
    ways.push_back(builder->Concat(
        {builder->Literal("-"), Magnitudes(least, most, integers, builder)}));
  }
  return builder->Either(std::move(ways));
}

}  // namespace facet
