/** Texts that one asks with again and again, by their names: kept with the account. */

import { changePreference, readPreferences } from "./preferences";
import { session } from "./session";
import { createStore, useStore } from "./store";

const NAME = "prompts";

export interface Prompt {
  name: string;
  text: string;
}

const prompts = createStore<{ list: Prompt[] }>(() => ({ list: [] }));

session.subscribe((now, before) => {
  if (now.me?.id !== before.me?.id) prompts.setState({ list: [] }); // nobody sees those of whoever was here before
});

export function usePrompts(): Prompt[] {
  return useStore(prompts, (state) => state.list);
}

export async function readPrompts(): Promise<void> {
  prompts.setState({ list: promptsIn((await readPreferences())[NAME]) });
}

/** Keeps a prompt in the place of the one called `before`, if any; the list stays in the order of the names. */
export function keepPrompt(prompt: Prompt, before?: string): Promise<void> {
  return change((list) => {
    const others = list.filter((one) => one.name !== prompt.name && one.name !== before);
    return [...others, prompt].sort((one, other) => one.name.localeCompare(other.name));
  });
}

export function forgetPrompt(name: string): Promise<void> {
  return change((list) => list.filter((one) => one.name !== name));
}

async function change(how: (list: Prompt[]) => Prompt[]): Promise<void> {
  prompts.setState({ list: await changePreference(NAME, (found) => how(promptsIn(found))) });
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
