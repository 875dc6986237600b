/** Work in slices while nobody waits. */

type Later = (work: () => void) => number;

const later: Later = typeof requestIdleCallback === "function" ? (work) => requestIdleCallback(work, { timeout: 2000 }) : (work) => setTimeout(work, 20) as unknown as number;

/** Begin chores after a rest [ms], a slice each idle moment; the function returned stops them. */
export function idle(chores: () => Generator<Promise<void> | undefined>, rest: number): () => void {
  let stopped = false;
  const timer = setTimeout(() => {
    const work = chores();
    const slice = () => {
      if (stopped) return;
      const { done, value } = work.next();
      if (done || stopped) return;
      if (value) void value.then(() => later(slice));
      else later(slice);
    };
    later(slice);
  }, rest);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
