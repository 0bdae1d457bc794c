/** Texts that one asks with again and again, by their names: kept with the account. */

import { keepPreference, readPreferences } from "./preferences";
import { createStore, useStore } from "./store";

const NAME = "prompts";

export interface Prompt {
  name: string;
  text: string;
}

const prompts = createStore<{ list: Prompt[] }>(() => ({ list: [] }));

export function usePrompts(): Prompt[] {
  return useStore(prompts, (state) => state.list);
}

export async function readPrompts(): Promise<void> {
  prompts.setState({ list: promptsIn((await readPreferences())[NAME]) });
}

/** Keeps a prompt in the place of the one called `before`, if any; the list stays in the order of the names. */
export async function keepPrompt(prompt: Prompt, before?: string): Promise<void> {
  const others = prompts.getState().list.filter((one) => one.name !== prompt.name && one.name !== before);
  await keep([...others, prompt].sort((one, other) => one.name.localeCompare(other.name)));
}

export function forgetPrompt(name: string): Promise<void> {
  return keep(prompts.getState().list.filter((one) => one.name !== name));
}

async function keep(list: Prompt[]): Promise<void> {
  await keepPreference(NAME, list);
  prompts.setState({ list });
}

/** Those whose names have some letters in them; of a name that begins with these first. */
export function promptsLike(list: Prompt[], letters: string): Prompt[] {
  const wanted = letters.toLowerCase();
  const at = (one: Prompt) => one.name.toLowerCase().indexOf(wanted);
  return list.filter((one) => at(one) >= 0).sort((one, other) => Math.sign(at(one)) - Math.sign(at(other)));
}

function promptsIn(found: unknown): Prompt[] {
  const isPrompt = (one: Partial<Prompt> | null) => typeof one?.name === "string" && typeof one.text === "string";
  return Array.isArray(found) ? found.filter(isPrompt) : [];
}
