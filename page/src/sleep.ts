/** What is out of sight sleeps while a slider moves: it costs half of each step else. It wakes for reader, search and keyboard. */

const REST = 400; // ms after the last step
const away = new Set<Element>();
let timer: ReturnType<typeof setTimeout> | undefined;

/** Lets an element sleep; called with it when it is there, gives back what to do when it goes. */
export function sleeper(element: HTMLElement): () => void {
  const observer = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return void away.add(element);
    away.delete(element);
    element.classList.remove("asleep");
  });
  observer.observe(element);
  return () => {
    observer.disconnect();
    away.delete(element);
  };
}

/** A step: to sleep for as long as steps follow each other. */
export function hush(): void {
  for (const element of away) element.classList.add("asleep");
  clearTimeout(timer);
  timer = setTimeout(wake, REST);
}

export function wake(): void {
  clearTimeout(timer);
  for (const element of away) element.classList.remove("asleep");
}
