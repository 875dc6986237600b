/* W subjects side by side: one register, one lane each. Every operation works lane by lane, so a subject's
   numbers never depend on its neighbours. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double V __attribute__((vector_size(W * 8)));
typedef long long M __attribute__((vector_size(W * 8))); /* lane mask: all bits set = true */

#define K(x) ((V){0} + (double)(x))
#define LANE(v, l) (((double *)&(v))[l])
#define FLAG(m, l) (((long long *)&(m))[l])
#define INLINE static inline __attribute__((always_inline))

INLINE V vselect(M m, V a, V b) { return (V)((m & (M)a) | (~m & (M)b)); }
INLINE V vmax(V a, V b) { return vselect((M)(a < b), b, a); } /* a NaN in `a` stays */
INLINE V vmin(V a, V b) { return vselect((M)(b < a), b, a); }
INLINE V vabs(V a) { return (V)((M)a & 0x7fffffffffffffffLL); }
INLINE V vtruth(M m) { return vselect(m, K(1), K(0)); }

#ifdef PORTABLE
INLINE V vround(V x) { /* to the nearest whole number, by the adding of 1.5 * 2^52 */
  const V big = K(6755399441055744.0);
  const V near = (x + big) - big;
  return vselect((M)(vabs(x) < K(2251799813685248.0)), near, x);
}
INLINE V vfloor(V x) { V r = vround(x); return vselect((M)(r > x), r - K(1), r); }
#else
INLINE V vfloor(V x) { V r; for (int l = 0; l < W; l++) LANE(r, l) = floor(LANE(x, l)); return r; }
#endif
INLINE V vceil(V x) { return -vfloor(-x); }
INLINE V vsqrt(V x) { V r; for (int l = 0; l < W; l++) LANE(r, l) = __builtin_sqrt(LANE(x, l)); return r; }

/* exp: 2^n e^r with |r| <= ln2/2; the Taylor sum to r^13 leaves 2e-16. The factor 2^n is built from its bits:
   n = -1023 makes it 0 and n = 1024 infinity, so both ends of the range come by themselves, and NaN stays NaN. */
INLINE V vexp(V x) {
  const V big = K(6755399441055744.0), c = vmax(vmin(x, K(709.9)), K(-709.4));
  const V t = c * K(1.4426950408889634) + big;
  const M n = (M)t - (M)big;
  const V k = t - big;
  V r = c - k * K(6.93147180369123816490e-01);
  r = r - k * K(1.90821492927058770002e-10);
  V p = K(1.0 / 6227020800.0);
  p = p * r + K(1.0 / 479001600.0);
  p = p * r + K(1.0 / 39916800.0);
  p = p * r + K(1.0 / 3628800.0);
  p = p * r + K(1.0 / 362880.0);
  p = p * r + K(1.0 / 40320.0);
  p = p * r + K(1.0 / 5040.0);
  p = p * r + K(1.0 / 720.0);
  p = p * r + K(1.0 / 120.0);
  p = p * r + K(1.0 / 24.0);
  p = p * r + K(1.0 / 6.0);
  p = p * r + K(0.5);
  p = p * r + K(1.0);
  p = p * r + K(1.0);
  return p * (V)((n + 1023) << 52);
}

/* log|x|: mantissa in [0.707, 1.414], 2 atanh(s) by its series; 0 gives -1e300, so that 0^b follows from exp. */
INLINE V vlogabs(V x) {
  const V a = vabs(x);
  const M ix = (M)a;
  const M e = (ix - 0x3fe6a09e667f3bcdLL) >> 52;
  const V m = (V)(ix - (e << 52));
  const V k = __builtin_convertvector(e, V);
  const V f = m - K(1), s = f / (m + K(1)), z = s * s;
  V p = K(2.0 / 19);
  p = p * z + K(2.0 / 17);
  p = p * z + K(2.0 / 15);
  p = p * z + K(2.0 / 13);
  p = p * z + K(2.0 / 11);
  p = p * z + K(2.0 / 9);
  p = p * z + K(2.0 / 7);
  p = p * z + K(2.0 / 5);
  p = p * z + K(2.0 / 3);
  p = p * z + K(2);
  V r = k * K(6.93147180369123816490e-01) + (s * p + k * K(1.90821492927058770002e-10));
  r = vselect((M)(a < K(2.2250738585072014e-308)), K(-1e300), r);
  return vselect((M)(a < K(__builtin_inf())), r, a);
}

INLINE V vlog(V x) {
  V r = vlogabs(x);
  r = vselect((M)(x == K(0)), K(-__builtin_inf()), r);
  return vselect((M)(x < K(0)), K(__builtin_nan("")), r);
}

/* What a negative base turns base^b into: 1 for even b, -1 for odd b, NaN for any other. */
INLINE V vsign_of_power(V b) {
  const V half = b * K(0.5);
  const V odd = vselect((M)(vfloor(half) == half), K(1), K(-1));
  return vselect((M)(vfloor(b) == b), odd, K(__builtin_nan("")));
}

/* a^b from log|a| and the sign factor of b. */
INLINE V vpower(V a, V b, V log_a, V sign) {
  const V r = vexp(b * log_a);
  return vselect((M)(a < K(0)), r * sign, r);
}
INLINE V vpower_ratio(V a, V power) { return vselect((M)(a == K(0)), K(0), power / a); }

#ifndef PORTABLE
#define BY_LANE(name, call) \
  INLINE V name(V x) { V r; for (int l = 0; l < W; l++) { const double a = LANE(x, l); LANE(r, l) = call; } return r; }
BY_LANE(vsin, sin(a)) BY_LANE(vcos, cos(a)) BY_LANE(vtan, tan(a))
BY_LANE(vasin, asin(a)) BY_LANE(vacos, acos(a)) BY_LANE(vatan, atan(a))
BY_LANE(vsinh, sinh(a)) BY_LANE(vcosh, cosh(a)) BY_LANE(vtanh, tanh(a))
BY_LANE(vasinh, asinh(a)) BY_LANE(vacosh, acosh(a)) BY_LANE(vatanh, atanh(a))
BY_LANE(vfactorial, tgamma(a + 1))

static double digamma(double x) { /* upwards by recurrence, then its asymptotic series */
  double sum = 0;
  for (; x < 8; x += 1) sum -= 1 / x;
  const double z = 1 / (x * x);
  return sum + log(x) - 0.5 / x - z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z / 240)));
}
BY_LANE(vdigamma, digamma(a))
#endif

/* The same out of line, for text that runs once a subject: several times shorter to compile. */
#define OUTLINE static __attribute__((noinline, unused))
OUTLINE V outline_exp(V x) { return vexp(x); }
OUTLINE V outline_logabs(V x) { return vlogabs(x); }
OUTLINE V outline_log(V x) { return vlog(x); }
OUTLINE V outline_power(V a, V b, V log_a, V sign) { return vpower(a, b, log_a, sign); }
OUTLINE V outline_sign_of_power(V b) { return vsign_of_power(b); }
