/** Formulas as MathML, which browsers set by themselves; loaded with the first formula. */

import katex from "katex";
import { cleanMath } from "./clean";

export function formula(source: string, displayMode: boolean): DocumentFragment | null {
  try {
    const html = katex.renderToString(source, {
      output: "mathml",
      displayMode,
      throwOnError: true,
      strict: "ignore",
      trust: false,
      maxExpand: 500,
      maxSize: 20,
    });
    const bare = html.replace(/<annotation[\s\S]*?<\/annotation>/g, "").replace(/ style="[^"]*"/g, "");
    return cleanMath(bare);
  } catch {
    return null;
  }
}
