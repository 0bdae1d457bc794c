/** Colours for code; loaded with the first block that has some. */

import hljs from "highlight.js/lib/common";
import { cleanCode } from "./clean";

const LONGEST = 100_000;

export function highlighted(code: string, language: string): DocumentFragment | null {
  if (code.length > LONGEST || !hljs.getLanguage(language)) return null;
  return cleanCode(hljs.highlight(code, { language, ignoreIllegals: true }).value);
}
