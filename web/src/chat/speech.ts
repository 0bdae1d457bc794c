/** Reading answers aloud, by voices of this computer alone: others would be sent every word. */

import type { SpeechSynthesisAdapter } from "@assistant-ui/react";
import { createStore, useStore } from "../state/store";

const voices = createStore<{ local: SpeechSynthesisVoice[] }>(() => ({ local: [] }));

/** Browsers come to know their voices a moment after the page has begun. */
function look(): void {
  voices.setState({ local: speechSynthesis.getVoices().filter((one) => one.localService) });
}

if ("speechSynthesis" in window) {
  look();
  speechSynthesis.addEventListener("voiceschanged", look);
}

export function useCanSpeak(): boolean {
  return useStore(voices, ({ local }) => local.length > 0);
}

/** The voice for the page's reader: of a language that they read, else whichever is the default. */
function voice(): SpeechSynthesisVoice | undefined {
  const { local } = voices.getState();
  for (const language of navigator.languages) {
    const found = local.find((one) => one.lang.replace("_", "-").split("-")[0] === language.split("-")[0]);
    if (found) return found;
  }
  return local.find((one) => one.default) ?? local[0];
}

/** What is read of a Markdown text: its words, without marks, addresses and blocks of code. */
export function spoken(markdown: string): string {
  return markdown
    .replace(/^(```|~~~)[^]*?(^\1\s*$|$(?![^]))/gm, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/^[ \t]*(#{1,6}|>|[-*+]|\|)\s+/gm, "")
    .replace(/[*_`~|]{1,3}/g, "")
    .trim();
}

export const speech: SpeechSynthesisAdapter = {
  speak(text) {
    const words = new SpeechSynthesisUtterance(spoken(text));
    words.voice = voice() ?? null;
    const listeners = new Set<() => void>();
    const end = (reason: "finished" | "cancelled" | "error") => {
      if (said.status.type === "ended") return;
      said.status = { type: "ended", reason };
      listeners.forEach((tell) => tell());
    };
    words.addEventListener("end", () => end("finished"));
    words.addEventListener("error", () => end("error"));
    const said: SpeechSynthesisAdapter.Utterance = {
      status: { type: "running" },
      cancel: () => (speechSynthesis.cancel(), end("cancelled")),
      subscribe: (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    };
    speechSynthesis.speak(words);
    return said;
  },
};
