/** The one way state is kept: a zustand store each noun, read by selectors, changed by plain functions beside it. */

export { createStore } from "zustand/vanilla";
export { useStore } from "zustand";
export { useShallow } from "zustand/react/shallow";
