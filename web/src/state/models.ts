/** The models one can ask, and which one is chosen; the choice is remembered in this browser. */

import { call } from "../api/client";
import type { Model, Price, Usage } from "../api/types";
import { createStore, kept, useStore } from "./store";

const KEPT = "antiphon.model";
export const OFFLINE = "offline/extractive";
/** At most as many as the server puts one question to. */
export const MOST_AT_ONCE = 8;

export interface Models {
  list: Model[];
  /** Asked with the next question; several are asked side by side. */
  chosen: string[];
}

/** What one has chosen, whether the server offers it just now or not. */
let wished = remembered();

export const models = createStore<Models>(() => ({ list: [], chosen: wished }));

function remembered(): string[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one === "string").slice(0, MOST_AT_ONCE) : [];
  } catch {
    return [];
  }
}

export function useModels<T>(select: (state: Models) => T): T {
  return useStore(models, select);
}

export async function readModels(): Promise<void> {
  const { data } = await call<{ data: Model[] }>("/v1/models", { query: { include: "antiphon" } });
  const list = data.filter((one) => one.antiphon);
  const known = wished.filter((id) => list.some((one) => one.id === id));
  const usual = list.find((one) => one.antiphon?.default) ?? list[0];
  const chosen = known.length ? known : usual ? [usual.id] : [];
  models.setState((now) => ({ list: kept(now.list, list), chosen: kept(now.chosen, chosen) }));
}

export function chooseModels(chosen: string[]): void {
  if (!chosen.length) return;
  wished = chosen.slice(0, MOST_AT_ONCE);
  models.setState({ chosen: wished });
  try {
    localStorage.setItem(KEPT, JSON.stringify(chosen));
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}

/** Whether nothing but the built-in model is there. */
export function onlyOffline(state: Models): boolean {
  return state.list.length > 0 && state.list.every((one) => one.id === OFFLINE || one.owned_by === "scripted");
}

/** From so many on one looks for a model by a part of its name. */
export const MANY = 8;

/** The models whose name or provider has each of the words, which are in lower case. */
export function modelsLike(list: Model[], words: string): Model[] {
  const parts = words.split(/\s+/);
  return list.filter((one) => {
    const name = `${one.id} ${one.owned_by}`.toLowerCase();
    return parts.every((part) => name.includes(part));
  });
}

/** The name without its provider, for places with little room. */
export function shortName(id: string): string {
  return id.slice(id.indexOf("/") + 1);
}

/** An amount as a plain number; of a small one what counts of it. */
export function money(amount: number): string {
  if (!amount) return "0";
  if (amount >= 0.01) return amount.toFixed(2);
  return amount.toLocaleString("en", { maximumSignificantDigits: 2 });
}

export function costOf(price: Price | undefined, usage: Usage): number | null {
  if (!price || (!price.input && !price.output)) return null;
  return (usage.input_tokens * price.input + usage.output_tokens * price.output) / 1e6;
}
