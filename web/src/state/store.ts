/** The one way state is kept: a zustand store each noun, read by selectors, changed by plain functions beside it. */

export { createStore } from "zustand/vanilla";
export { useStore } from "zustand";
export { useShallow } from "zustand/react/shallow";

/** Returns what is known if what was read says the same: whoever shows it has nothing to do. */
export function kept<T>(known: T, read: T): T {
  return JSON.stringify(known) === JSON.stringify(read) ? known : read;
}
