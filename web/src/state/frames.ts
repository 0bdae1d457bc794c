/** Gathers what arrives for a moment, so that a burst of tokens is one rendering: at most thirty a second. */

const BETWEEN_MILLISECONDS = 32;
const HIDDEN_MILLISECONDS = 200;

const waiting = new Set<() => void>();
let asked = false;
let last = 0;

export function nextFrame(work: () => void): void {
  waiting.add(work);
  if (asked) return;
  asked = true;
  // A hidden page gets no frames, and must not fall behind.
  if (document.hidden) setTimeout(run, HIDDEN_MILLISECONDS);
  else requestAnimationFrame(look);
}

function look(now: number): void {
  if (now - last >= BETWEEN_MILLISECONDS) {
    last = now;
    run();
  } else requestAnimationFrame(look);
}

function run(): void {
  asked = false;
  const works = [...waiting];
  waiting.clear();
  for (const work of works) work();
}
