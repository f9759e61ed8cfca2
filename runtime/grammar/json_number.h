// Decimal numbers as they are written, and the texts of all numbers between two
// bounds.
#ifndef FACET_RUNTIME_GRAMMAR_JSON_NUMBER_H_
#define FACET_RUNTIME_GRAMMAR_JSON_NUMBER_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/grammar/grammar_builder.h"

namespace facet {

// The most digits before and behind the point that are ever written.
inline constexpr int kMaxIntegerDigits = 18;

// Exact. Zero is not negative.
struct Decimal {
  bool negative = false;
  std::string integer = "0";  // without leading zeros, but not empty
  std::string fraction;       // without trailing zeros

  bool is_zero() const { return integer == "0" && fraction.empty(); }
  bool is_integer() const { return fraction.empty(); }
};

// A JSON number, e.g. "-12.5e3"; none if an exponent beyond 400 would make it
// absurdly long.
std::optional<Decimal> ParseDecimal(absl::string_view text);

// Below 0, 0 or above 0, as x is below, equal to or above y.
int Compare(const Decimal& x, const Decimal& y);

struct Bound {
  Decimal value;
  bool exclusive = false;
};

struct NumberRange {
  std::optional<Bound> low;
  std::optional<Bound> high;

  bool unbounded() const { return !low.has_value() && !high.has_value(); }
  bool Contains(const Decimal& value) const;
  // Keeps the stricter bound.
  void RaiseLow(const Bound& bound);
  void LowerHigh(const Bound& bound);
};

// No number is in both.
bool Disjoint(const NumberRange& x, const NumberRange& y);

// All integers of at most kMaxIntegerDigits digits in `range`, or all decimals
// without exponent. Decimals have so few digits (15, or those of the bounds)
// that reading them as doubles does not carry them across a bound.
Expr NumbersIn(const NumberRange& range, bool integers,
               GrammarBuilder* builder);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_JSON_NUMBER_H_
