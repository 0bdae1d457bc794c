/** Light, dark, or what the system says; remembered in this browser. */

import { createStore, useStore } from "./store";

export type Theme = "system" | "light" | "dark";
const KEPT = "antiphon.theme";

export const theme = createStore<{ theme: Theme }>(() => ({ theme: kept() }));

function kept(): Theme {
  try {
    const found = localStorage.getItem(KEPT);
    return found === "light" || found === "dark" ? found : "system";
  } catch {
    return "system";
  }
}

export function useTheme(): Theme {
  return useStore(theme, (state) => state.theme);
}

export function setTheme(chosen: Theme): void {
  theme.setState({ theme: chosen });
  try {
    localStorage.setItem(KEPT, chosen);
  } catch {
    // Then it lasts as long as the page.
  }
  applyTheme();
}

export function applyTheme(): void {
  const chosen = theme.getState().theme;
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}
