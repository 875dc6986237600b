/** A region that scrolls can be reached by keyboard; one that does not is no stop on the way. */
export function scrolling(region: HTMLElement): () => void {
  const look = () => {
    const scrolls = region.scrollWidth > region.clientWidth + 1 || region.scrollHeight > region.clientHeight + 1;
    region.tabIndex = scrolls ? 0 : -1;
  };
  look();
  const observer = new ResizeObserver(look);
  observer.observe(region);
  for (const child of region.children) observer.observe(child);
  return () => observer.disconnect();
}
