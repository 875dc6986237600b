/* Events of the model itself. A condition is judged at every stop, just after it, and inside a step where one of the
   gaps that it hangs on changes its sign; there the step ends, at the first moment that has the new sign. */

enum { CHATTERING = 4, ACCUMULATING = 5, TIED = 6, NO_DELAY = 7, QUEUE_FULL = 8 };
#define BURST (1000 + 20 * NEVENT) /* executions at one moment: more have no end */

static void begin_events(const Task *task, Lane *lane) {
  for (int e = 0; e < NEVENT; e++) {
    lane->truth[e] = INITIALLY[e];
    lane->rhythm[e].last = task->start;
  }
  lane->burst_began = task->start;
}

/* --- the queue */

#define ROUNDING 1e-12 /* times closer than this share of themselves are kept apart by rounding alone */

static int is_near(double a, double b) { return fabs(a - b) <= ROUNDING * fabs(b); }

/* A time that rounding alone keeps apart from a stop, an output or another event is that one's. */
static double shared_time(const Task *task, const Lane *lane, double time) {
  for (int i = 0; i < NSTOP; i++)
    if (is_near(lane->stops[i], time)) return lane->stops[i];
  for (int i = 0; i < lane->waiting; i++)
    if (is_near(lane->queue[i].time, time)) return lane->queue[i].time;
  for (long i = lane->event; i < task->events; i++) {
    const double dose = task->event_time[lane->subject * task->events + i];
    if (is_near(dose, time)) return dose;
    if (dose > time) break;
  }
  for (long i = lane->output; i < task->times; i++) {
    const double shown = task->time[lane->subject * task->time_stride + i];
    if (is_near(shown, time)) return shown;
    if (shown > time) break;
  }
  return time;
}

static void enqueue(const Task *task, Lane *lane, int l, int e, const V *delay, const V *value) {
  const double after = LANE(delay[e], l);
  if (!(after >= 0)) { lane->trouble = NO_DELAY; return; }
  if (lane->waiting == QUEUE) { lane->trouble = QUEUE_FULL; return; }
  Waiting *place = &lane->queue[lane->waiting++];
  place->event = e;
  place->time = after > 0 ? shared_time(task, lane, lane->now + after) : lane->now;
  for (int i = FIRST_VALUE[e]; i < FIRST_VALUE[e + 1]; i++) place->value[i - FIRST_VALUE[e]] = LANE(value[i], l);
}

static void dequeue(Lane *lane, int place) {
  lane->waiting--;
  for (int i = place; i < lane->waiting; i++) lane->queue[i] = lane->queue[i + 1];
}

static void forget(Lane *lane, int e) {
  for (int i = lane->waiting - 1; i >= 0; i--)
    if (lane->queue[i].event == e) dequeue(lane, i);
}

/* Place of the event to execute next. The highest priority comes first; where SBML leaves the order open (priorities
   that are equal or missing) the earlier trigger does and a missing priority comes last, or the other way round. */
static int choose(const Lane *lane, int l, const V *priority, int reversed, int *open) {
  int chosen = -1;
  double best = 0;
  for (int i = 0; i < lane->waiting; i++) {
    const int e = lane->queue[i].event;
    if (lane->queue[i].time > lane->now) continue;
    const double mine = RANKED[e] ? LANE(priority[e], l) : reversed ? INFINITY : -INFINITY;
    const int ranked = RANKED[e] && (chosen < 0 || RANKED[lane->queue[chosen].event]);
    if (chosen >= 0 && !(ranked && (mine < best || mine > best))) *open = 1;
    if (chosen < 0 || mine > best || (reversed && !(mine < best))) chosen = i, best = mine;
  }
  return chosen;
}

/* --- execution */

/* Executions without end: very many at one moment, or one event's at ever shorter intervals, as of a ball that bounces.
   Intervals are compared with the longer of the two before, since two motions may take turns. */
static void watch_rhythm(Lane *lane, int e) {
  Rhythm *r = &lane->rhythm[e];
  if (lane->now - lane->burst_began > 1e-12 * fabs(lane->now)) lane->burst_began = lane->now, lane->burst = 0;
  if (++lane->burst > BURST) lane->trouble = CHATTERING;
  const double interval = lane->now - r->last;
  if (!(interval > 0)) return;
  if (interval < r->interval || interval < r->before) r->shorter++;
  else r->shorter = 0, r->longest = interval;
  const double recent = interval > r->interval ? interval : r->interval;
  if (r->shorter >= 4 && recent < 1e-6 * r->longest) lane->trouble = ACCUMULATING;
  r->before = r->interval, r->interval = interval, r->last = lane->now;
}

static void put(Work *w, int l, int target, double value) {
  if (target < NS) LANE(w->y[target], l) = value;
  else LANE(w->q[target - NS], l) = value;
}

static void execute(Work *w, int l, int place) {
  Lane *lane = &w->lane[l];
  Waiting due = lane->queue[place];
  const int e = due.event, first = FIRST_VALUE[e], end = FIRST_VALUE[e + 1];
  dequeue(lane, place);
  if (!EARLY[e]) {
    V delay[NEVENT], priority[NEVENT], value[NASSIGNED];
    event_values(K(lane->now), w->y, w->q, delay, priority, value);
    for (int i = first; i < end; i++) due.value[i - first] = LANE(value[i], l);
  }
#if NSCALE
  V scale[NSCALE];
  event_scales(K(lane->now), w->y, w->q, scale);
  for (int i = first; i < end; i++)
    if (SCALE[i] >= 0) due.value[i - first] *= LANE(scale[SCALE[i]], l);
#endif
  for (int i = first; i < end; i++) put(w, l, TARGET[i], due.value[i - first]);
  lane->fresh = 1;
  watch_rhythm(lane, e);
}

/* Every trigger, and the gaps as they are. */
static void judge(const Work *w, V t, V middle, V *gap, V *truth) {
#if NGAP
  V size[NGAP];
  gaps(t, middle, w->y, w->q, gap, size);
#endif
  conditions(t, middle, w->y, w->q, gap, truth);
}

/* All that happens now: triggers that became true join the queue, then one event after the other is executed, and what
   each of them changes is seen before the next. `middle` decides conditions on time: at a stop, or just after it.
   Returns whether somewhere SBML leaves the order open. */
static int proceed(const Task *task, Work *w, int l, double middle, int reversed) {
  Lane *lane = &w->lane[l];
  int open = 0;
  while (!lane->trouble) {
    V gap[NGAP + 1], truth[NEVENT], delay[NEVENT], priority[NEVENT], value[NASSIGNED];
    int called = 0;
    judge(w, K(lane->now), K(middle), gap, truth);
#if NGAP
    for (int g = 0; g < NGAP; g++) LANE(w->side[g], l) = LANE(gap[g], l);
#endif
    for (int e = 0; e < NEVENT; e++) {
      const int is = LANE(truth[e], l) != 0, was = lane->truth[e];
      if (is && !was && !called++) event_values(K(lane->now), w->y, w->q, delay, priority, value);
      if (is && !was) enqueue(task, lane, l, e, delay, value);
      if (was && !is && !PERSISTENT[e]) forget(lane, e);
      lane->truth[e] = is;
    }
    int due = 0;
    for (int i = 0; i < lane->waiting; i++) due += lane->queue[i].time <= lane->now;
    if (!due || lane->trouble) break;
    if (!called) event_values(K(lane->now), w->y, w->q, delay, priority, value);
    execute(w, l, choose(lane, l, priority, reversed, &open));
  }
  return open;
}

static void remember(Work *w, int l, Moment *m) {
  for (int k = 0; k < NS; k++) m->y[k] = LANE(w->y[k], l);
  for (int k = 0; k < NI; k++) m->q[k] = LANE(w->q[k], l);
#if NGAP
  for (int g = 0; g < NGAP; g++) m->side[g] = LANE(w->side[g], l);
#endif
  m->lane = w->lane[l];
}

static void recall(Work *w, int l, const Moment *m) {
  for (int k = 0; k < NS; k++) LANE(w->y[k], l) = m->y[k];
  for (int k = 0; k < NI; k++) LANE(w->q[k], l) = m->q[k];
#if NGAP
  for (int g = 0; g < NGAP; g++) LANE(w->side[g], l) = m->side[g];
#endif
  w->lane[l] = m->lane;
}

static int is_same(double a, double b) { return a == b || is_near(a, b) || (a != a && b != b); }

static int is_same_moment(const Moment *a, const Moment *b) {
  int same = a->lane.waiting == b->lane.waiting && a->lane.trouble == b->lane.trouble;
  for (int k = 0; k < NS; k++) same &= is_same(a->y[k], b->y[k]);
  for (int k = 0; k < NI; k++) same &= is_same(a->q[k], b->q[k]);
  for (int e = 0; e < NEVENT; e++) same &= a->lane.truth[e] == b->lane.truth[e];
  for (int i = 0; same && i < a->lane.waiting; i++) {
    int found = 0;
    for (int j = 0; j < b->lane.waiting; j++) {
      const Waiting *one = &a->lane.queue[i], *other = &b->lane.queue[j];
      int equal = one->event == other->event && is_same(one->time, other->time);
      for (int v = 0; equal && v < FIRST_VALUE[one->event + 1] - FIRST_VALUE[one->event]; v++)
        equal = is_same(one->value[v], other->value[v]);
      found |= equal;
    }
    same &= found;
  }
  return same;
}

/* Where the order of events is open, both ways must come to the same; else the answer is chance, and is not given. */
static void happen(const Task *task, Work *w, int l, double middle) {
  remember(w, l, &w->before);
  if (!proceed(task, w, l, middle, 0)) return;
  remember(w, l, &w->first);
  recall(w, l, &w->before);
  proceed(task, w, l, middle, 1);
  remember(w, l, &w->second);
  const int same = is_same_moment(&w->first, &w->second);
  recall(w, l, &w->first);
  if (!same && !w->lane[l].trouble) w->lane[l].trouble = TIED;
}

#if NGAP
/* --- inside a step */

#define FINEST 2.220446049250313e-16 /* a step is not divided further: 2^-52 */
#define CLUSTER 2.9e-14              /* zeros that are closer together are not told apart */
#define ROUNDED 4e-15                /* a share of a gap's terms: what rounding may have made of it */
#define MOST_LOOKS (100 + 20 * NGAP) /* changes within one step, whose gaps are polynomials of low degree */

/* One point of the step just taken, in every lane. Within a band about zero rounding decides the sign of a gap: there
   it counts as on the side where it was last beyond the band, or as what it was when something last happened. So a
   quantity that comes to rest on its threshold does not flicker. */
typedef struct { V time, y[NS + 1], gap[NGAP], size[NGAP], truth[NEVENT]; } Sight;

OUTLINE void look_at_gaps(const Work *w, V t, V h, V middle, V s, Sight *at) {
  V weight[STAGES];
  const V r = K(1) - s;
  DENSE_WEIGHTS
  for (int k = 0; k < NS; k++) at->y[k] = r * w->y[k] + s * (w->y_new[k] + r * (DENSE_SUM));
  at->time = t + s * h;
  gaps(at->time, middle, at->y, w->q, at->gap, at->size);
}

static void look(const Work *w, V t, V h, V middle, double s, Sight *at) {
  V gap[NGAP];
  look_at_gaps(w, t, h, middle, K(s), at);
  for (int g = 0; g < NGAP; g++) gap[g] = vselect(vless(w->band[g], vabs(at->gap[g])), at->gap[g], w->side[g]);
  conditions(at->time, middle, at->y, w->q, gap, at->truth);
}

static int differs(const Lane *lane, const Sight *at, int l) {
  for (int e = 0; e < NEVENT; e++)
    if ((LANE(at->truth[e], l) != 0) != lane->truth[e]) return 1;
  return 0;
}

/* Which lanes need a closer look: a gap's polynomial may have a zero, or a trigger is not what it was. Returns how far
   the nodes are from telling the course of the curved gaps, as a share of what is tolerated, squared. */
static V survey(const Task *task, Work *w, V t, V h, V middle, int *busy) {
  V coefficient[DEGREE + 1][NGAP], scale[NGAP], last[2][NCURVED + 1], error = K(0);
  Sight at;
  memset(coefficient, 0, sizeof coefficient);
  memset(scale, 0, sizeof scale);
  memset(last, 0, sizeof last);
  for (int j = 0; j <= DEGREE; j++) {
    look_at_gaps(w, t, h, middle, K(NODE[j]), &at);
    for (int g = 0; g < NGAP; g++) scale[g] = vmax(scale[g], at.size[g]);
    for (int i = 0; i <= DEGREE; i++)
      for (int g = 0; g < NGAP; g++) coefficient[i][g] += K(BERNSTEIN[i][j]) * at.gap[g];
    for (int g = 0; g < NCURVED; g++)
      for (int i = 0; i < 2; i++) last[i][g] += K(LAST[i][j]) * at.gap[g];
  }
  for (int g = 0; g < NGAP; g++) w->band[g] = K(ROUNDED) * scale[g];
  M quiet = vequal(K(0), K(0));
  for (int g = 0; g < NGAP; g++) {
    V low = coefficient[0][g], high = low;
    for (int i = 1; i <= DEGREE; i++) low = vmin(low, coefficient[i][g]), high = vmax(high, coefficient[i][g]);
    quiet &= vless(K(0), low) | vless(high, K(0));
  }
  const double tolerated = task->rtol < 1e-3 ? task->rtol : 1e-3;
  for (int g = 0; g < NCURVED; g++) {
    const V share = (vabs(last[0][g]) + vabs(last[1][g])) / (K(tolerated) * scale[g]);
    error = vmax(error, share * share);
  }
  look(w, t, h, middle, 1, &at);
  for (int l = 0; l < W; l++) busy[l] = !FLAG(quiet, l) || differs(&w->lane[l], &at, l);
  return error;
}

/* The gaps of one lane between two points of the step. */
typedef struct { double first[NGAP], last[NGAP]; int changes[NGAP], most; } Span;

/* Changes of sign among the Bernstein coefficients of each gap, those left out that rounding may have made. One change
   counts as two where the last coefficient is left out, so that the zero is not looked for up to there. Leaves the
   sight of b. */
static void examine(const Work *w, int l, V t, V h, V middle, double a, double b, Span *span, Sight *at) {
  double gap[DEGREE + 1][NGAP];
  for (int j = 0; j <= DEGREE; j++) {
    const double s = j == 0 ? a : j == DEGREE ? b : a + (b - a) * NODE[j];
    look_at_gaps(w, t, h, middle, K(s), at);
    for (int g = 0; g < NGAP; g++) gap[j][g] = LANE(at->gap[g], l);
  }
  look(w, t, h, middle, b, at);
  span->most = 0;
  for (int g = 0; g < NGAP; g++) {
    int changes = 0;
    const double band = LANE(w->band[g], l);
    double sign = 0;
    for (int i = 0; i <= DEGREE; i++) {
      double c = 0, noise = 0;
      for (int j = 0; j <= DEGREE; j++) c += BERNSTEIN[i][j] * gap[j][g], noise += band * fabs(BERNSTEIN[i][j]);
      changes += c * sign < -noise;
      if (c > noise || c < -noise) sign = c > 0 ? 1 : -1;
    }
    if (changes == 1 && fabs(gap[DEGREE][g]) <= band) changes = 2;
    span->first[g] = gap[0][g], span->last[g] = gap[DEGREE][g], span->changes[g] = changes;
    if (changes > span->most) span->most = changes;
  }
}

/* First point at which a gap is beyond the band on the side where it is at b, its only zero being between a and b:
   bisection, or inverse quadratic interpolation where that is safe (chandrupatla_1997). */
static double crossing(const Work *w, int l, V t, V h, V middle, double a, double b, int g, const Span *span,
                       Sight *at) {
  const double band = LANE(w->band[g], l), up = span->last[g] > 0 ? 1 : -1;
  double x1 = b, f1 = up * span->last[g] - band, x2 = a, f2 = up * span->first[g] - band, x3 = a, f3 = f2;
  double part = 0.5, nudge = FINEST;
  for (int tries = 0; fabs(x2 - x1) > 2 * FINEST * (fabs(x1) + 1e-3); tries++) { /* a clock adds these errors up */
    const double x = x1 + part * (x2 - x1);
    look_at_gaps(w, t, h, middle, K(x), at);
    const double f = up * LANE(at->gap[g], l) - band;
    if ((f > 0) == (f1 > 0)) x3 = x1, f3 = f1, nudge *= 16; /* beyond where rounding decides the sign */
    else x3 = x2, f3 = f2, x2 = x1, f2 = f1, nudge = FINEST;
    x1 = x, f1 = f;
    const double least = nudge * (fabs(x1) + 1e-3) / fabs(x2 - x1);
    const double xi = (x1 - x2) / (x3 - x2), phi = (f1 - f2) / (f3 - f2);
    part = 0.5;
    if (tries < 40 && phi * phi < xi && (1 - phi) * (1 - phi) < 1 - xi)
      part = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2);
    if (!(part > least)) part = least;
    if (part > 1 - least) part = 1 - least;
    if (!(part > 0 && part < 1)) part = 0.5;
  }
  return f1 > 0 ? x1 : x2;
}

/* First point after a at which a trigger is not what it was, where no gap's zero tells it: at once, at b, or between. */
static double change(const Work *w, int l, V t, V h, V middle, double a, double b, Sight *at) {
  const Lane *lane = &w->lane[l];
  double reach = FINEST; /* it mostly lies close to a */
  while (b - a > 2 * FINEST) {
    const double probe = a + (reach < 0.5 * (b - a) ? reach : 0.5 * (b - a));
    look(w, t, h, middle, probe, at);
    if (differs(lane, at, l)) b = probe, reach = 1;
    else a = probe, reach *= 16;
  }
  look(w, t, h, middle, b, at);
  return b;
}

/* From the beginning of an accepted step to the first moment at which a trigger becomes true, where the step is cut.
   Triggers that cease to be true are noted on the way. */
static void seek(Work *w, int l, V t, V h, V middle, int busy) {
  Lane *lane = &w->lane[l];
  lane->cut = 0;
  lane->shown = lane->hits ? lane->stop : lane->now + LANE(h, l);
  int looks = 0;
  for (double a = 0, b; busy && a < 1; a = b) {
    Span span;
    Sight at;
    if (++looks > MOST_LOOKS) { lane->trouble = CHATTERING; break; }
    for (b = 1;; b = a + 0.5 * (b - a)) {
      examine(w, l, t, h, middle, a, b, &span, &at);
      if (span.most <= 1 || b - a <= CLUSTER) break;
    }
    if (span.most == 1) {
      double first = b;
      for (int g = 0; g < NGAP; g++)
        if (span.changes[g]) {
          const double found = crossing(w, l, t, h, middle, a, b, g, &span, &at);
          if (found < first) first = found;
        }
      look(w, t, h, middle, b = a + 0.5 * (first - a), &at);
      if (differs(lane, &at, l)) b = change(w, l, t, h, middle, a, b, &at); /* a gap left its band after a */
      else look(w, t, h, middle, b = first, &at);
    } else if (differs(lane, &at, l)) b = change(w, l, t, h, middle, a, b, &at);
    for (int e = 0; e < NEVENT; e++)
      if (LANE(at.truth[e], l) != 0 && !lane->truth[e]) lane->cut = 1;
    if (lane->cut) {
      for (int k = 0; k < NS; k++) LANE(w->y_cut[k], l) = LANE(at.y[k], l);
      lane->reach = LANE(at.time, l);
      break;
    }
    for (int g = 0; g < NGAP; g++)
      if (fabs(LANE(at.gap[g], l)) > LANE(w->band[g], l)) LANE(w->side[g], l) = LANE(at.gap[g], l);
    for (int e = 0; e < NEVENT; e++) {
      if (lane->truth[e] && LANE(at.truth[e], l) == 0) {
        lane->truth[e] = 0;
        if (!PERSISTENT[e]) forget(lane, e);
      }
    }
  }
  if (!lane->cut) return;
  lane->shown = lane->reach - ROUNDING * fabs(lane->reach);
  const double hair = 1e-15 * (fabs(lane->stop) + LANE(h, l)); /* before the stop, where all is looked at anyway */
  if (lane->hits && lane->stop - lane->reach <= hair) lane->cut = 0, lane->shown = lane->stop;
}

/* Where a trigger cut a step short: the events, then the outputs due, those included that rounding alone keeps apart. */
static void arrive_within(const Task *task, Work *w, int l, double h) {
  Lane *lane = &w->lane[l];
  const double middle = lane->now + 0.5 * h;
  for (int k = 0; k < NS; k++) LANE(w->y[k], l) = LANE(w->y_cut[k], l);
  lane->now = lane->reach;
  happen(task, w, l, middle);
  while (lane->output < task->times && output_time(task, lane) <= lane->now + ROUNDING * fabs(lane->now))
    keep_row(task, w, l);
  lane->stop = next_stop(task, lane);
}
#endif
