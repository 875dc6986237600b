/* The stepper. Each lane carries one subject with its own time, step size, doses and outputs; a lane that ends takes
   the next subject. Stops (doses, switches of time-dependent conditions) are hit exactly and never stepped across. */

enum { DONE = 0, TOO_MANY_STEPS = 1, STEP_TOO_SMALL = 2, NOT_A_NUMBER = 3 };
enum { ADD = 0, SET_INPUT = 1, RESET = 2, RESTART = 3 };
#define IDLE (-1)
#define NX (NS + NI) /* what an output needs: states and inputs */

typedef struct {
  long subjects, parameter_stride, initial_stride, events, times, time_stride, outputs, max_steps;
  double start, end, rtol, first_step, max_step;
  const double *parameters, *initial, *event_time, *event_value, *time, *atol;
  const int *event_action, *event_target, *which;
  double *out, *last, *fail_time;
  int *status; /* (subject, 3): status, steps, rejected */
} Task;

#if NEVENT /* events of the model itself: see events.h */
#define QUEUE (64 + 4 * NEVENT)
typedef struct { double time, value[NVALUE]; int event; } Waiting; /* between its trigger and its execution */
typedef struct { double last, interval, before, longest; int shorter; } Rhythm; /* of one event's executions */
#endif

typedef struct {
  long subject, event, output, steps, rejected;
  double now, stop, step, stops[NSTOP + 1];
  int rejected_last, fresh, nan_run, hits;
#if NEVENT
  int truth[NEVENT], waiting, burst, trouble; /* trouble: the status with which the subject must end */
  double burst_began;
  Waiting queue[QUEUE]; /* in the order of their triggers */
  Rhythm rhythm[NEVENT];
#endif
#if NGAP
  int cut; /* the step ends early, at `reach`, since a trigger became true there */
  double reach, shown; /* outputs before `shown` are the step's */
#endif
} Lane;

#if NEVENT
/* One lane's numbers, out of the vectors they lie in. */
typedef struct { double y[NS + 1], q[NI + 1], side[NGAP + 1]; Lane lane; } Moment;
#endif

/* Everything one call works on; the lanes' shared vectors are kept together. */
typedef struct {
  V y[NS], y_new[NS], q[NQ + 1], u[STAGES][NS], y_start[NS], input_start[NI + 1];
  Lane lane[W];
#if NEVENT
  Moment before, first, second; /* of the lane whose events are at work */
#endif
#if NGAP
  V y_cut[NS], band[NGAP], side[NGAP];
#endif
  double *rows; /* (lane, time, NX): states and inputs at output times, until the lane's subject is done */
  long next;
} Work;

static double next_stop(const Task *task, const Lane *lane) {
  double stop = task->end;
  if (lane->event < task->events) {
    const double t = task->event_time[lane->subject * task->events + lane->event];
    if (t < stop) stop = t;
  }
  for (int i = 0; i < NSTOP; i++)
    if (lane->stops[i] > lane->now && lane->stops[i] < stop) stop = lane->stops[i];
#if NEVENT
  for (int i = 0; i < lane->waiting; i++)
    if (lane->queue[i].time < stop) stop = lane->queue[i].time;
#endif
  return stop;
}

static double output_time(const Task *task, const Lane *lane) {
  return task->time[lane->subject * task->time_stride + lane->output];
}

static void keep_row(const Task *task, Work *w, int l) {
  Lane *lane = &w->lane[l];
  double *row = w->rows + ((long)l * task->times + lane->output) * NX;
  for (int k = 0; k < NS; k++) row[k] = LANE(w->y[k], l);
  for (int k = 0; k < NI; k++) row[NS + k] = LANE(w->q[k], l);
  lane->output++;
}

#if NEVENT
static void begin_events(const Task *task, Lane *lane);
static void happen(const Task *task, Work *w, int l, double middle);
#endif

/* At a stop: first the events in their written order, then the outputs due, so a value shown is after the dose. */
static void arrive(const Task *task, Work *w, int l) {
  Lane *lane = &w->lane[l];
  for (; lane->event < task->events; lane->event++) {
    const long e = lane->subject * task->events + lane->event;
    if (!(task->event_time[e] <= lane->now)) break;
    const int target = task->event_target[e];
    switch (task->event_action[e]) {
      case ADD: LANE(w->y[target], l) += task->event_value[e]; break;
      case SET_INPUT: LANE(w->q[target], l) = task->event_value[e]; break;
      case RESTART: LANE(w->y[target], l) = LANE(w->y_start[target], l); break;
      case RESET:
        for (int k = 0; k < NS; k++) LANE(w->y[k], l) = LANE(w->y_start[k], l);
        for (int k = 0; k < NI; k++) LANE(w->q[k], l) = LANE(w->input_start[k], l);
#if NEVENT
        lane->waiting = 0;
#endif
        break;
    }
  }
#if NEVENT
  happen(task, w, l, lane->now);
#endif
  while (lane->output < task->times && output_time(task, lane) <= lane->now) keep_row(task, w, l);
  lane->stop = next_stop(task, lane);
  lane->fresh = 1;
#if NEVENT /* and what is true just after the stop: t > 3 is false at 3 */
  if (lane->now < task->end) {
    happen(task, w, l, lane->now + 0.5 * (lane->stop - lane->now));
    lane->stop = next_stop(task, lane);
  }
#endif
}

static void take_subject(const Task *task, Work *w, int l) {
  Lane *lane = &w->lane[l];
  memset(lane, 0, sizeof *lane);
  lane->subject = w->next < task->subjects ? w->next++ : IDLE;
  if (lane->subject == IDLE) return;
  const double *p = task->parameters + lane->subject * task->parameter_stride;
  V q[NQ + 1], y[NS];
  prepare(p, K(task->start), q, y, lane->stops);
  for (int k = 0; k < NQ; k++) LANE(w->q[k], l) = LANE(q[k], 0);
  for (int k = 0; k < NI; k++) LANE(w->input_start[k], l) = LANE(q[k], 0);
  for (int k = 0; k < NS; k++) {
    LANE(w->y_start[k], l) = LANE(y[k], 0);
    LANE(w->y[k], l) = task->initial ? task->initial[lane->subject * task->initial_stride + k] : LANE(y[k], 0);
  }
  lane->now = task->start;
#if NEVENT
  begin_events(task, lane);
#endif
  arrive(task, w, l);
}

/* Outputs of one finished subject: W times side by side. Times that a failed subject never reached become NaN. */
static void show_subject(const Task *task, const Work *w, int l) {
  const Lane *lane = &w->lane[l];
  double *out = task->out + lane->subject * task->times * task->outputs;
  V q[NQ + 1], o[NO + 1], y[NS], t = K(0);
  for (int k = 0; k < NQ; k++) q[k] = K(LANE(w->q[k], l));
  for (long first = 0; first < lane->output; first += W) {
    for (int j = 0; j < W; j++) {
      const long i = first + j < lane->output ? first + j : lane->output - 1;
      const double *row = w->rows + ((long)l * task->times + i) * NX;
      for (int k = 0; k < NS; k++) LANE(y[k], j) = row[k];
      for (int k = 0; k < NI; k++) LANE(q[k], j) = row[NS + k];
      LANE(t, j) = task->time[lane->subject * task->time_stride + i];
    }
    observe(t, y, q, o);
    for (int j = 0; j < W && first + j < lane->output; j++)
      for (long c = 0; c < task->outputs; c++)
        out[(first + j) * task->outputs + c] = LANE(o[task->which[c]], j);
  }
  for (long i = lane->output; i < task->times; i++)
    for (long c = 0; c < task->outputs; c++) out[i * task->outputs + c] = NAN;
}

static void finish(const Task *task, Work *w, int l, int status) {
  Lane *lane = &w->lane[l];
  show_subject(task, w, l);
  int *s = task->status + lane->subject * 3;
  s[0] = status, s[1] = (int)lane->steps, s[2] = (int)lane->rejected;
  task->fail_time[lane->subject] = status == DONE ? NAN : lane->now;
  if (task->last)
    for (int k = 0; k < NS; k++)
      task->last[lane->subject * NS + k] = status == DONE ? LANE(w->y[k], l) : NAN;
  lane->subject = IDLE;
}

/* A lane without a subject repeats a neighbour's numbers: any values will do, as long as they are ordinary ones. */
static void rest_lane(Work *w, int l) {
  int busy = -1;
  for (int j = 0; j < W; j++)
    if (w->lane[j].subject != IDLE) busy = j;
  if (busy < 0) return;
  for (int k = 0; k < NS; k++) LANE(w->y[k], l) = LANE(w->y[k], busy);
  for (int k = 0; k < NQ; k++) LANE(w->q[k], l) = LANE(w->q[k], busy);
  w->lane[l].now = w->lane[busy].now;
  w->lane[l].step = w->lane[busy].step > 0 ? w->lane[busy].step : 1e-6;
}

/* Mean square of v against the tolerances at y and z. */
INLINE V scaled_square(const Task *task, const V *v, const V *y, const V *z) {
  V sum = K(0);
  for (int k = 0; k < NS; k++) {
    const V scale = K(task->atol[k]) + K(task->rtol) * vmax(vabs(y[k]), vabs(z[k]));
    const V part = v[k] * vreciprocal(scale);
    sum += part * part;
  }
  return sum * K(1.0 / (NS ? NS : 1));
}

/* First step after a stop, in lanes whose `fresh` is set, from the slope d1 and the size d0 in units of the tolerance:
   a hundredth of the time in which the state would change by its own size, or, where the state is near zero, the step
   that a method of this order may take if every derivative is as large as the first (hairer_1993, II.4). */
static void first_steps(const Task *task, Work *w) {
  V f[NS], t = K(0), middle = K(0);
  for (int l = 0; l < W; l++) {
    const Lane *lane = &w->lane[l];
    LANE(t, l) = lane->now;
    LANE(middle, l) = lane->now + (lane->subject == IDLE ? 0 : 1e-6 * (lane->stop - lane->now));
  }
  rates(t, middle, w->y, w->q, f);
  const V d1 = scaled_square(task, f, w->y, w->y), d0 = scaled_square(task, w->y, w->y, w->y);
  const V by_size = K(0.01) * vsqrt(d0 / d1), by_order = vexp(K(0.5 / ORDER) * (vlogabs(K(1e-4)) - vlogabs(d1)));
  const V h = vmax(by_size, by_order);
  for (int l = 0; l < W; l++) {
    Lane *lane = &w->lane[l];
    if (!lane->fresh) continue;
    lane->fresh = 0;
    double first = task->first_step > 0 ? task->first_step : LANE(h, l);
    if (!(first < lane->stop - lane->now)) first = lane->stop - lane->now; /* also where h is not a number */
    lane->step = first < task->max_step ? first : task->max_step;
  }
}

/* Step over h for all lanes: 8 stages on one Jacobian, one factorisation. */
INLINE void step(V t, V h, V middle, Work *w) {
  V *y = w->y, *z = w->y_new, *q = w->q;
  V(*u)[NS] = w->u;
  V lu[NLU], f[NS], known[NS];
  const V ih = K(1) / h;
#if USES_TIME
  V ft[NS];
#else
  V *ft = 0;
#endif
  rates_and_factor(t, middle, y, q, ih * K(1.0 / GAMMA), f, ft, lu);
  for (int k = 0; k < NS; k++) known[k] = FIRST_DRIFT;
  solve(lu, f, known, u[0]);
  STAGE_TEXT
  for (int k = 0; k < NS; k++) z[k] += u[STAGES - 1][k];
}

/* Outputs inside the step just taken, one a lane at a time, from the method's own polynomial. */
INLINE void keep_dense_rows(const Task *task, Work *w, const V ht, const int *accepted) {
  for (;;) {
    int any = 0, due[W];
    V s = K(0), weight[STAGES], row[NS];
    for (int l = 0; l < W; l++) {
      const Lane *lane = &w->lane[l];
      due[l] = accepted[l] && lane->output < task->times &&
#if NGAP
               output_time(task, lane) < lane->shown;
#else
               output_time(task, lane) < (lane->hits ? lane->stop : lane->now + LANE(ht, l));
#endif
      if (due[l]) LANE(s, l) = (output_time(task, lane) - lane->now) / LANE(ht, l);
      any |= due[l];
    }
    if (!any) return;
    const V r = K(1) - s;
    DENSE_WEIGHTS
    for (int k = 0; k < NS; k++) row[k] = r * w->y[k] + s * (w->y_new[k] + r * (DENSE_SUM));
    for (int l = 0; l < W; l++) {
      if (!due[l]) continue;
      double *kept = w->rows + ((long)l * task->times + w->lane[l].output++) * NX;
      for (int k = 0; k < NS; k++) kept[k] = LANE(row[k], l);
      for (int k = 0; k < NI; k++) kept[NS + k] = LANE(w->q[k], l);
    }
  }
}

#if NGAP
static V survey(const Task *task, Work *w, V t, V h, V middle, int *busy);
static void seek(Work *w, int l, V t, V h, V middle, int busy);
static void arrive_within(const Task *task, Work *w, int l, double h);
#endif

/* Move a lane on, or shorten its step; ends the subject when it is done or lost. */
static void settle(const Task *task, Work *w, int l, double h, double proposed, int accepted, int is_nan) {
  Lane *lane = &w->lane[l];
  lane->steps++;
  if (accepted) {
    if (lane->rejected_last && proposed > h) proposed = h;
    lane->rejected_last = lane->nan_run = 0;
#if NGAP
    if (lane->cut) lane->step = proposed, arrive_within(task, w, l, h);
    if (lane->trouble) { finish(task, w, l, lane->trouble); return; }
    if (lane->cut) lane->cut = 0;
    else
#endif
    if (lane->hits) {
      const double unclipped = lane->step; /* a step cut short by the stop says little about the next one */
      lane->now = lane->stop;
      lane->step = proposed > unclipped ? proposed : unclipped;
      const int ends = lane->now >= task->end;
      arrive(task, w, l);
#if NEVENT
      if (lane->trouble) { finish(task, w, l, lane->trouble); return; }
#endif
      if (ends) { finish(task, w, l, DONE); return; }
    } else {
      lane->now += h;
      lane->step = proposed;
    }
  } else {
    lane->rejected++, lane->rejected_last = 1;
    lane->nan_run = is_nan ? lane->nan_run + 1 : 0;
    lane->step = is_nan ? 0.2 * h : proposed;
  }
  if (lane->step > task->max_step) lane->step = task->max_step;
#if NEVENT /* stops that events make may lie as close together as times can; `first_steps` sets the step after one */
  if (lane->fresh) {
    if (lane->steps >= task->max_steps) finish(task, w, l, TOO_MANY_STEPS);
    return;
  }
#endif
  if (lane->step < 1e-14 * (fabs(lane->now) + 1e-3))
    finish(task, w, l, lane->nan_run ? NOT_A_NUMBER : STEP_TOO_SMALL);
  else if (lane->steps >= task->max_steps) finish(task, w, l, TOO_MANY_STEPS);
}

__attribute__((visibility("default"))) int run_task(const Task *task) {
  Work *w = 0;
  if (posix_memalign((void **)&w, 64, sizeof *w)) return 1;
  memset(w, 0, sizeof *w);
  w->rows = malloc(sizeof(double) * W * NX * (size_t)(task->times ? task->times : 1));
  if (!w->rows) { free(w); return 1; }
  for (int l = 0; l < W; l++) w->lane[l].subject = IDLE;
  for (;;) {
    int busy = 0, fresh = 0;
    for (int l = 0; l < W; l++) {
      /* a run without length ends where it starts */
      while (w->lane[l].subject == IDLE && w->next < task->subjects) {
        take_subject(task, w, l);
#if NEVENT
        if (w->lane[l].trouble) finish(task, w, l, w->lane[l].trouble);
        else
#endif
        if (w->lane[l].now >= task->end) finish(task, w, l, DONE);
      }
      busy += w->lane[l].subject != IDLE;
    }
    if (!busy) break;
    V t = K(0), h = K(1);
    for (int l = 0; l < W; l++) {
      if (w->lane[l].subject == IDLE) rest_lane(w, l);
      fresh |= w->lane[l].fresh;
    }
    if (fresh) first_steps(task, w);
    for (int l = 0; l < W; l++) {
      Lane *lane = &w->lane[l];
      LANE(t, l) = lane->now;
      LANE(h, l) = lane->step;
      lane->hits = 0;
      if (lane->subject == IDLE) continue;
      const double left = lane->stop - lane->now;
      if (lane->step >= left * (1 - 1e-9)) LANE(h, l) = left, lane->hits = 1;
      else if (lane->step > 0.55 * left) LANE(h, l) = 0.5 * left; /* no sliver before the stop */
    }
    step(t, h, t + K(0.5) * h, w);
#if NGAP
    int crossed[W];
    const V unseen = survey(task, w, t, h, t + K(0.5) * h, crossed);
    const V error = vmax(scaled_square(task, w->u[STAGES - 1], w->y, w->y_new), unseen);
#else
    const V error = scaled_square(task, w->u[STAGES - 1], w->y, w->y_new);
#endif
    const M ok = vless_equal(error, K(1));
    V factor = K(0.9) * vexp(K(-0.5 / ORDER) * vlogabs(vmax(error, K(1e-20))));
    factor = vmin(vmax(factor, K(0.2)), K(8));
    const V proposed = h * factor;
    int accepted[W];
    for (int l = 0; l < W; l++) accepted[l] = FLAG(ok, l) && w->lane[l].subject != IDLE;
#if NGAP
    for (int l = 0; l < W; l++)
      if (accepted[l]) seek(w, l, t, h, t + K(0.5) * h, crossed[l]);
#endif
    keep_dense_rows(task, w, h, accepted);
    for (int k = 0; k < NS; k++) w->y[k] = vselect(ok, w->y_new[k], w->y[k]);
    for (int l = 0; l < W; l++) {
      if (w->lane[l].subject == IDLE) continue;
      const double e = LANE(error, l);
      settle(task, w, l, LANE(h, l), LANE(proposed, l), accepted[l], !(e < INFINITY));
    }
  }
  free(w->rows);
  free(w);
  return 0;
}
