/* W subjects side by side: one register, one lane each. Every operation works lane by lane, so a subject's
   numbers never depend on its neighbours. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double V __attribute__((vector_size(W * 8)));
typedef long long B __attribute__((vector_size(W * 8))); /* the bits of a V as whole numbers */
typedef unsigned long long U __attribute__((vector_size(W * 8))); /* the same without a sign */

#define K(x) ((V){0} + (double)(x))
#define LANE(v, l) (((double *)&(v))[l])
#define INLINE static inline __attribute__((always_inline))

/* M: one truth value a lane. With AVX-512 it has registers of its own, and some steps are single instructions. gcc finds
   few of them by itself; they are called by its own names, since the header with the common ones (immintrin.h) takes a
   fifth of a second to read. Other compilers, and a gcc without these names, take the plain text below. */
#if defined __AVX512F__ && W == 8 && defined __GNUC__ && !defined __clang__ && defined __has_builtin
#if __has_builtin(__builtin_ia32_cmppd512_mask) && __has_builtin(__builtin_ia32_blendmpd_512_mask) && \
    __has_builtin(__builtin_ia32_maxpd512_mask) && __has_builtin(__builtin_ia32_minpd512_mask) && \
    __has_builtin(__builtin_ia32_scalefpd512_mask) && __has_builtin(__builtin_ia32_rcp14pd512_mask) && \
    __has_builtin(__builtin_ia32_getexppd512_mask) && __has_builtin(__builtin_ia32_getmantpd512_mask)
#define WIDE 1
#endif
#endif
#if defined __AVX2__ && W == 4 && defined __GNUC__ && !defined __clang__ && defined __has_builtin
#if __has_builtin(__builtin_ia32_blendvpd256) && __has_builtin(__builtin_ia32_maxpd256) && \
    __has_builtin(__builtin_ia32_minpd256)
#define HALF_WIDE 1
#endif
#endif
#ifdef WIDE
#define ALL -1, 4 /* every lane, the current rounding */
typedef unsigned char M;
#define FLAG(m, l) ((m) >> (l) & 1)
INLINE M vequal(V a, V b) { return __builtin_ia32_cmppd512_mask(a, b, 0, ALL); }
INLINE M vless(V a, V b) { return __builtin_ia32_cmppd512_mask(a, b, 17, ALL); }
INLINE M vless_equal(V a, V b) { return __builtin_ia32_cmppd512_mask(a, b, 18, ALL); }
INLINE V vselect(M m, V a, V b) { return __builtin_ia32_blendmpd_512_mask(b, a, m); }
INLINE V vmax(V a, V b) { return __builtin_ia32_maxpd512_mask(b, a, K(0), ALL); } /* a NaN in `a` stays */
INLINE V vmin(V a, V b) { return __builtin_ia32_minpd512_mask(b, a, K(0), ALL); }
INLINE V vscale(V a, V n) { return __builtin_ia32_scalefpd512_mask(a, n, K(0), ALL); } /* a 2^n */
INLINE V vguess(V a) { return __builtin_ia32_rcp14pd512_mask(a, K(0), -1); } /* 1/a to 14 bits */
INLINE V vexponent(V a) { return __builtin_ia32_getexppd512_mask(a, K(0), ALL); }
INLINE V vmantissa(V a) { return __builtin_ia32_getmantpd512_mask(a, 7, K(0), ALL); } /* of |a|, in [0.75, 1.5) */
#else
typedef B M;
#define FLAG(m, l) (((long long *)&(m))[l])
INLINE M vless(V a, V b) { return (M)(a < b); }
INLINE M vless_equal(V a, V b) { return (M)(a <= b); }
INLINE M vequal(V a, V b) { return (M)(a == b); }
#ifdef HALF_WIDE /* single instructions again, of the same bits as the plain text */
INLINE V vselect(M m, V a, V b) { return __builtin_ia32_blendvpd256(b, a, (V)m); }
INLINE V vmax(V a, V b) { return __builtin_ia32_maxpd256(b, a); } /* a NaN in `a` stays */
INLINE V vmin(V a, V b) { return __builtin_ia32_minpd256(b, a); }
#else
INLINE V vselect(M m, V a, V b) { return (V)((m & (B)a) | (~m & (B)b)); }
INLINE V vmax(V a, V b) { return vselect(vless(a, b), b, a); } /* a NaN in `a` stays */
INLINE V vmin(V a, V b) { return vselect(vless(b, a), b, a); }
#endif
#endif
#if defined WIDE && !defined PORTABLE
#define FAST 1
#else
#define FAST 0
#endif

INLINE V vabs(V a) { return (V)((B)a & 0x7fffffffffffffffLL); }
INLINE V vtruth(M m) { return vselect(m, K(1), K(0)); }

/* 1/x within two units in the last place, for ordinary x: a guess of 14 bits and Newton's iteration twice. */
INLINE V vreciprocal_ordinary(V x) {
#if FAST
  const V guess = vguess(x), error = K(1) - x * guess, better = guess + guess * error;
  return better + better * (error * error);
#else
  return K(1) / x;
#endif
}

/* 1/x; where the guess cannot be bettered (1/0, 1/inf, NaN) it is already the answer. */
INLINE V vreciprocal(V x) {
#if FAST
  const V guess = vguess(x), error = K(1) - x * guess, better = guess + guess * error;
  return vselect(vless(K(-1), error), better + better * (error * error), guess);
#else
  return K(1) / x;
#endif
}

#ifdef PORTABLE
INLINE V vround(V x) { /* to the nearest whole number, by the adding of 1.5 * 2^52 */
  const V big = K(6755399441055744.0);
  const V near = (x + big) - big;
  return vselect(vless(vabs(x), K(2251799813685248.0)), near, x);
}
INLINE V vfloor(V x) { V r = vround(x); return vselect(vless(x, r), r - K(1), r); }
#else
INLINE V vfloor(V x) { V r; for (int l = 0; l < W; l++) LANE(r, l) = floor(LANE(x, l)); return r; }
#endif
INLINE V vceil(V x) { return -vfloor(-x); }
INLINE V vsqrt(V x) { V r; for (int l = 0; l < W; l++) LANE(r, l) = __builtin_sqrt(LANE(x, l)); return r; }

/* exp: 2^n e^r with |r| <= ln2/2. The polynomial, (e^r - 1 - r)/r^2 interpolated at Chebyshev's points, leaves 2e-17. */
INLINE V vexp(V x) {
  const V big = K(6755399441055744.0);
#if FAST
  const V c = vmax(vmin(x, K(1e4)), K(-1e4));
#else
  const V c = vmax(vmin(x, K(709.9)), K(-709.4));
#endif
  const V t = c * K(1.4426950408889634) + big, k = t - big;
  V r = c - k * K(6.93147180369123816490e-01);
  r = r - k * K(1.90821492927058770002e-10);
  const V rr = r * r;
  V even = K(2.7620138719733994e-07), odd = K(2.5100424157005067e-08);
  even = even * rr + K(2.480152119021773e-05), odd = odd * rr + K(2.7557268378684192e-06);
  even = even * rr + K(0.0013888888917281794), odd = odd * rr + K(0.00019841269863105968);
  even = even * rr + K(0.04166666666662399), odd = odd * rr + K(0.008333333333330051);
  even = even * rr + K(0.5000000000000001), odd = odd * rr + K(0.16666666666666669);
  const V p = (odd * r + even) * rr + (r + K(1));
#if FAST
  return vscale(p, k);
#else /* 2^n from its bits: n = -1023 makes it 0, n = 1024 infinity, so both ends come by themselves, and NaN stays NaN */
  const B n = (B)t - (B)big;
  return p * (V)((n + 1023) << 52);
#endif
}

/* log|x|: mantissa in [0.707, 1.414] or [0.75, 1.5], then 2 atanh(s), |s| <= 0.2; the polynomial (interpolation at
   Chebyshev's points again) leaves 6e-17. About -1e300 at 0, so that 0^b follows from exp. */
INLINE V vlogabs(V x) {
#if FAST
  const V m = vmantissa(x), e = vexponent(x);
  const V k = vmax(vselect(vless(m, K(1)), e + K(1), e), K(-1e300));
#else
  /* e: the exponent + 1023, as a whole number; written into the bits of 2^52 it is 2^52 + e, so no conversion is needed */
  const V a = vabs(x);
  const U ix = (U)a, e = (ix + 0x00095f619980c433ULL) >> 52;
  const V m = (V)(ix - ((e - 1023) << 52)), k = (V)(e + 0x4330000000000000ULL) - K(4503599627371519.0);
#endif
  const V s = (m - K(1)) * vreciprocal_ordinary(m + K(1)), z = s * s;
  const V zz = z * z;
  V odd = K(0.1511848710872457), even = K(0.15283703752403147);
  odd = odd * zz + K(0.18184610246294064), even = even * zz + K(0.22222182776674482);
  odd = odd * zz + K(0.2857142883604555), even = even * zz + K(0.39999999999335556);
  odd = odd * zz + K(0.6666666666666694);
  const V p = (odd + even * z) * z + K(2);
  V r = k * K(6.93147180369123816490e-01) + (s * p + k * K(1.90821492927058770002e-10));
#if FAST
  return r;
#else
  r = vselect(vless(a, K(2.2250738585072014e-308)), K(-1e300), r);
  return vselect(vless(a, K(__builtin_inf())), r, a);
#endif
}

INLINE V vlog(V x) {
  V r = vlogabs(x);
  r = vselect(vequal(x, K(0)), K(-__builtin_inf()), r);
  return vselect(vless(x, K(0)), K(__builtin_nan("")), r);
}

/* What a negative base turns base^b into: 1 for even b, -1 for odd b, NaN for any other. */
INLINE V vsign_of_power(V b) {
  const V half = b * K(0.5);
  const V odd = vselect(vequal(vfloor(half), half), K(1), K(-1));
  return vselect(vequal(vfloor(b), b), odd, K(__builtin_nan("")));
}

/* a^b from log|a| and the sign factor of b. */
INLINE V vpower(V a, V b, V log_a, V sign) {
  const V r = vexp(b * log_a);
  return vselect(vless(a, K(0)), r * sign, r);
}
INLINE V vpower_ratio(V a, V power) { return vselect(vequal(a, K(0)), K(0), power * vreciprocal(a)); }

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
