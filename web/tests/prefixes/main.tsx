/** Renders texts with the page's own Markdown as if each of their code points came by itself. */

import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { withMarks } from "../../src/markdown/lexer";
import { Markdown } from "../../src/markdown/markdown";

const FORBIDDEN = "script,iframe,object,embed,style,link,meta,base,img,svg,form,video,audio,template,button:not([data-cite],[data-copy])";
const ALLOWED_ADDRESS = /^(https?:|mailto:|tel:)/;

const place = document.getElementById("page")!;

/** Returns what is in the page that must not be there. */
function problems(): string[] {
  const found = [...place.querySelectorAll(FORBIDDEN)].map((element) => element.outerHTML);
  for (const element of place.querySelectorAll("*")) {
    for (const { name, value } of element.attributes) {
      if (name.startsWith("on") || name === "style" || name === "src" || name === "ping") found.push(`${name}=${value}`);
      if (/href|action/.test(name) && !ALLOWED_ADDRESS.test(value)) found.push(`${name}=${value}`);
    }
  }
  return found;
}

/** Renders every beginning of a text, then the whole as a finished answer, and waits for what comes lazily. */
async function renderAll(text: string): Promise<string[]> {
  const root = createRoot(place);
  const points = Array.from(text);
  const found: string[] = [];
  for (let end = 1; end <= points.length; end++) {
    const marked = withMarks(points.slice(0, end).join(""), end > 3 ? [{ index: 2, number: 1 }] : []);
    flushSync(() => root.render(<Markdown text={marked} growing />));
    found.push(...problems());
  }
  flushSync(() => root.render(<Markdown text={withMarks(text, [])} />));
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (let tries = 0; place.querySelector("[data-math]") && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  found.push(...problems());
  flushSync(() => root.unmount());
  return [...new Set(found)];
}

Object.assign(window, { renderAll });
