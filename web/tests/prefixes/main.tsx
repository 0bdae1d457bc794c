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

/** The HTML of a text that was there at once. */
function whole(text: string, growing: boolean): string {
  const beside = document.createElement("div");
  const root = createRoot(beside);
  flushSync(() => root.render(<Markdown text={text} growing={growing} />));
  const html = beside.innerHTML;
  root.unmount();
  return html;
}

/** Returns the beginnings of a text that look otherwise when they grew than when they were there at once. */
function grownOtherwise(text: string, step: number): string[] {
  const root = createRoot(place);
  const found: string[] = [];
  for (let end = step; end < text.length + step; end += step) {
    const sofar = text.slice(0, end);
    flushSync(() => root.render(<Markdown text={sofar} growing />));
    if (blanks(place.innerHTML) !== blanks(whole(sofar, true))) found.push(sofar);
  }
  flushSync(() => root.unmount());
  return found;
}

function blanks(html: string): string {
  return html.replace(/\s*\n\s*/g, "");
}

/** Returns how many nodes come into the page while a text grows by its last `tail` code units, one by one. */
async function nodesFor(text: string, tail: number): Promise<number> {
  const root = createRoot(place);
  flushSync(() => root.render(<Markdown text={text.slice(0, -tail)} growing />));
  let count = 0;
  const watch = new MutationObserver((all) => {
    for (const one of all) for (const node of one.addedNodes) count += 1 + (node as Element).querySelectorAll?.("*").length || 1;
  });
  watch.observe(place, { childList: true, subtree: true });
  for (let end = text.length - tail + 1; end <= text.length; end++) {
    flushSync(() => root.render(<Markdown text={text.slice(0, end)} growing />));
    await Promise.resolve();
  }
  watch.disconnect();
  flushSync(() => root.unmount());
  return count;
}

Object.assign(window, { renderAll, grownOtherwise, nodesFor });
