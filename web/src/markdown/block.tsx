/** One block of a text in the page: what is the same as before stays, so that an answer can be long and dense. */

import { memo, useLayoutEffect, useRef } from "react";
import { cleanMarkdown } from "./clean";
import { CITE_CLOSE, CITE_OPEN, type Block, type Kind, type Piece } from "./lexer";

const MARK = new RegExp(`${CITE_OPEN}(\\d+)${CITE_CLOSE}`);
const HOLDERS: Record<Exclude<Kind, "whole">, string> = { list: "ol, ul", table: "table", code: "code" };
const PIECES = { list: "li", table: "tbody > tr" };
/** Code that has its colours, by the text they were given to. */
const coloured = new WeakMap<Element, string>();

export const BlockView = memo(function BlockView({ block, settled }: { block: Block; settled: boolean }) {
  const element = useRef<HTMLDivElement>(null);
  const shown = useRef<Shown>(null);
  useLayoutEffect(() => {
    shown.current ??= new Shown(element.current!);
    shown.current.show(block);
    if (settled) finish(element.current!);
  }, [block, settled]);
  return <div className="block" ref={element} />;
});

/** What of a block stands in the page by now. */
class Shown {
  private html: string | null = null;
  private pieces: readonly Piece[] = [];

  constructor(private readonly root: HTMLElement) {}

  show({ kind, html, pieces, all }: Block): void {
    if (html !== this.html) {
      const fragment = cleanMarkdown(kind === "code" ? html : all());
      decorate(fragment);
      this.root.replaceChildren(fragment);
      this.html = html;
      this.pieces = pieces;
    }
    const holder = kind === "whole" ? null : this.root.querySelector<HTMLElement>(HOLDERS[kind]);
    if (kind === "code") showText(holder, pieces[0]!.html);
    else if (holder && kind === "table") this.showPieces(rowsOf(holder, pieces.length > 0), pieces, PIECES.table);
    else if (holder) this.showPieces(holder, pieces, PIECES.list);
    this.pieces = pieces;
  }

  private showPieces(holder: HTMLElement, pieces: readonly Piece[], selector: string): void {
    // Pieces that others follow grow no more; a long list does not wait with its formulas for its end.
    if (pieces === this.pieces) for (const one of [...holder.children].slice(0, -1)) finish(one as HTMLElement);
    for (let at = holder.children.length - 1; at >= pieces.length; at--) holder.children[at]!.remove();
    for (const [at, piece] of pieces.entries()) {
      if (piece.html === this.pieces[at]?.html && holder.children[at]) continue;
      const fresh = elementOf(piece.html, selector);
      const old = holder.children[at];
      if (old) old.replaceWith(fresh);
      else holder.append(fresh);
      if (at > 0) finish(holder.children[at - 1] as HTMLElement);
    }
  }
}

/** Returns the only item or row of a list or a table. */
function elementOf(html: string, selector: string): Element {
  const found = cleanMarkdown(html).querySelector(selector)!;
  const own = document.createDocumentFragment();
  own.append(found);
  decorate(own);
  return found;
}

/** Returns where a table's rows are; one without rows has no body. */
function rowsOf(table: HTMLElement, some: boolean): HTMLElement {
  const body = table.querySelector<HTMLElement>("tbody");
  if (body && !some) body.remove();
  if (body && some) return body;
  const made = document.createElement("tbody");
  if (some) table.append(made);
  return made;
}

function showText(holder: HTMLElement | null, text: string): void {
  const only = holder?.firstChild;
  if (only instanceof Text && holder!.childNodes.length === 1 && text.startsWith(only.data)) {
    if (text.length > only.data.length) only.appendData(text.slice(only.data.length));
  } else if (holder && holder.textContent !== text) holder.textContent = text;
}

/** Adds what is ours: citations as buttons, a head for code, a frame for wide tables, the side on which lists begin. */
function decorate(root: DocumentFragment): void {
  for (const one of root.querySelectorAll<HTMLElement>("ul, ol, blockquote")) one.dir = "auto";
  for (const table of root.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table-frame";
    frame.dir = "auto"; // the frame: what is wider than it is scrolled to from where it begins
    frame.tabIndex = 0;
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", "Table");
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const box of root.querySelectorAll("input")) {
    box.setAttribute("aria-label", "Task");
    if (box.parentElement?.tagName === "LI") box.parentElement.className = "task";
  }
  for (const pre of root.querySelectorAll("pre")) {
    const frame = document.createElement("figure");
    frame.className = "code";
    const head = document.createElement("figcaption");
    head.append(Object.assign(document.createElement("span"), { textContent: pre.dataset.lang || "text" }));
    const copy = Object.assign(document.createElement("button"), { textContent: "Copy", type: "button" });
    copy.dataset.copy = "";
    head.append(copy);
    pre.replaceWith(frame);
    pre.tabIndex = 0;
    frame.append(head, pre);
  }
  marks(root);
}

function marks(root: DocumentFragment): void {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const texts: Text[] = [];
  while (walker.nextNode()) {
    const node = walker.currentNode as Text;
    if (node.data.includes(CITE_OPEN)) texts.push(node);
  }
  for (let node of texts) {
    for (let found = MARK.exec(node.data); found; found = MARK.exec(node.data)) {
      const rest = node.splitText(found.index);
      rest.data = rest.data.slice(found[0].length);
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: found[1]! });
      button.className = "cite";
      button.dataset.cite = found[1]!;
      button.setAttribute("aria-label", `Source ${found[1]}`);
      rest.before(button);
      node = rest;
    }
  }
}

type Colours = typeof import("./highlight");
type Formulas = typeof import("./math");
const loaded: { colours?: Colours; formulas?: Formulas } = {};

/** Colours code and sets formulas, each by a library that comes when it is needed; with it there, at once. */
function finish(root: HTMLElement): void {
  const code = [...root.querySelectorAll<HTMLElement>("pre[data-lang]:not([data-lang='']) > code")].filter(
    (one) => coloured.get(one) !== one.textContent,
  );
  const formulas = [...root.querySelectorAll<HTMLElement>("[data-math]")];
  const { colours, formulas: setter } = loaded;
  if ((code.length && !colours) || (formulas.length && !setter)) return void load(code.length > 0, root);
  for (const one of code) colour(one, colours!);
  for (const one of formulas) set(one, setter!);
}

async function load(colours: boolean, root: HTMLElement): Promise<void> {
  // What is not to be had leaves the text as it is.
  if (colours) loaded.colours = await import("./highlight");
  if (root.querySelector("[data-math]")) loaded.formulas = await import("./math");
  if (root.isConnected) finish(root);
}

function colour(code: HTMLElement, { highlighted }: Colours): void {
  const text = code.textContent ?? "";
  const spans = highlighted(text, code.parentElement!.dataset.lang!.toLowerCase());
  if (spans) code.replaceChildren(spans);
  coloured.set(code, text);
}

function set(place: HTMLElement, { formula }: Formulas): void {
  const made = formula(place.textContent ?? "", place.dataset.math === "block");
  if (made) place.replaceChildren(made);
  place.className = `${made ? "math" : "math wrong"} ${place.dataset.math}`;
  delete place.dataset.math;
}
