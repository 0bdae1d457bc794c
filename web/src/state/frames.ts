/** Gathers what arrives within one frame, so that a burst of tokens is one rendering. */

const waiting = new Set<() => void>();
let asked = false;

export function nextFrame(work: () => void): void {
  waiting.add(work);
  if (asked) return;
  asked = true;
  // A hidden page gets no frames, and must not fall behind.
  if (document.hidden) setTimeout(run, 100);
  else requestAnimationFrame(run);
}

function run(): void {
  asked = false;
  const works = [...waiting];
  waiting.clear();
  for (const work of works) work();
}
