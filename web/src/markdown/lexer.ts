/**
 * Markdown as blocks of HTML. Of a text that grows only its last blocks are read again, and of a list, a table or code
 * only the last lines. HTML in the text is shown as text, pictures become links (nothing is fetched before somebody
 * asks), addresses are absolute or no links.
 */

import { Marked, type MarkedToken, type Token, type Tokens, type TokensList } from "marked";

/** What a block consists of, where that is alike: a list's items, a table's rows, the text of code. */
export type Kind = "whole" | "list" | "table" | "code";

export interface Block {
  raw: string;
  kind: Kind;
  /** What stands around the pieces; all of it, where there are none. */
  html: string;
  pieces: Piece[];
  /** All of it, for a block that was not there before. */
  all: () => string;
}

export interface Piece {
  /** What it was made of: pieces with the same source are the same. */
  source: string;
  /** A list or a table with this one item or row; of code its text, which is no HTML. */
  html: string;
}

/** Stands around a citation's number within the text: private code points, which are taken out of texts first. */
export const CITE_OPEN = "\uE000";
export const CITE_CLOSE = "\uE001";

const PLAIN_TAGS = /^<\/?(?:br|sub|sup|kbd|mark|u|s)\s*\/?>$/i;
const ADDRESS = /^(?:https?:\/\/|mailto:|tel:)[^\s\u0000-\u001f]+$/i;

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

function anchor(href: string, inner: string, title?: string | null): string {
  if (!ADDRESS.test(href)) return inner;
  return `<a href="${escaped(href)}"${title ? ` title="${escaped(title)}"` : ""}>${inner}</a>`;
}

function hostOf(href: string): string {
  try {
    return new URL(href).host;
  } catch {
    return href;
  }
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  extensions: [
    {
      name: "mathBlock",
      level: "block",
      start: (source) => source.search(/\$\$|\\\[/),
      tokenizer(source) {
        const found = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])(?:\s*\n|\s*$)/.exec(source);
        if (!found) return undefined;
        return { type: "mathBlock", raw: found[0], text: (found[1] ?? found[2] ?? "").trim() };
      },
      renderer: (token) => `<div data-math="block">${escaped(String(token.text))}</div>`,
    },
    {
      name: "mathInline",
      level: "inline",
      start: (source) => source.search(/\$|\\\(/),
      tokenizer(source) {
        // An amount of money is no formula: no blank within the signs, no digit after the second.
        const found =
          /^\$\$([^$\n]+?)\$\$/.exec(source) ??
          /^\$(?![\s$])((?:\\.|[^$\\\n])*?[^\s\\$])\$(?![\d$])/.exec(source) ??
          /^\\\(([\s\S]+?)\\\)/.exec(source);
        if (!found) return undefined;
        return { type: "mathInline", raw: found[0], text: found[1]!.trim() };
      },
      renderer: (token) => `<span data-math="inline">${escaped(String(token.text))}</span>`,
    },
  ],
  renderer: {
    html: ({ text }) => (PLAIN_TAGS.test(text.trim()) ? text.trim() : escaped(text)),
    link(token) {
      return anchor(token.href, this.parser.parseInline(token.tokens), token.title);
    },
    image: ({ href, text, title }) =>
      anchor(href, `${escaped(text || title || "Picture")} <span>(picture at ${escaped(hostOf(href))})</span>`),
    code: ({ text, lang }) => {
      const language = (lang ?? "").trim().split(/\s/)[0]!;
      return `<pre data-lang="${escaped(language)}"><code>${escaped(text)}</code></pre>`;
    },
    codespan: ({ text }) => `<code>${escaped(text)}</code>`,
  },
});

type Links = TokensList["links"];

/** Lexes a text that mostly grows at its end. */
export class GrowingText {
  private text = "";
  private tokens: Token[] = [];
  private blocks: Block[] = [];
  private links: Links = {};

  /** Returns the blocks of a text; those that did not change are the same objects as before. */
  read(text: string): Block[] {
    const whole = text.replace(/\r\n?/g, "\n");
    if (whole === this.text) return this.blocks;
    const goesOn = this.text && whole.startsWith(this.text);
    const links = this.lex(whole, goesOn ? Math.max(this.tokens.length - 4, 0) : 0);
    // Addresses may be named at the end, or once for all of the text: then what came before looks otherwise.
    const same = JSON.stringify(links) === JSON.stringify(this.links);
    if (!same && goesOn) this.lex(whole, 0);
    this.text = whole;
    this.links = links;
    this.blocks = this.rendered(same);
    return this.blocks;
  }

  /** Reads the tokens of a text behind those that are kept, and returns all links that are named by then. */
  private lex(whole: string, kept: number): Links {
    const before = this.tokens.slice(0, kept);
    const lexer = new marked.Lexer(marked.defaults);
    let offset = 0;
    for (const token of before) {
      offset += token.raw.length;
      if (token.type === "def") lexer.tokens.links[token.tag] ??= { href: token.href, title: token.title };
    }
    const fresh = lexer.lex(whole.slice(offset));
    this.tokens = [...before, ...fresh.filter((token) => token.type !== "def" || token.raw)];
    return lexer.tokens.links;
  }

  private rendered(sameLinks: boolean): Block[] {
    const before = this.blocks;
    const blocks: Block[] = [];
    for (const token of this.tokens) {
      if (token.type === "space" || token.type === "def") continue;
      const known = before[blocks.length];
      if (sameLinks && known?.raw === token.raw) blocks.push(known);
      else blocks.push(blockOf(token as MarkedToken, this.links, sameLinks ? (known?.pieces ?? []) : []));
    }
    return blocks;
  }
}

function blockOf(token: MarkedToken, links: Links, before: readonly Piece[]): Block {
  const { raw } = token;
  const all = () => render(token, links);
  const piece = (source: string, at: number, one: () => MarkedToken): Piece => {
    const known = before[at];
    return known?.source === source ? known : { source, html: render(one(), links) };
  };
  switch (token.type) {
    case "list": {
      const of = (item: Tokens.ListItem, at: number) =>
        piece(`list ${token.loose} ${item.raw}`, at, () => ({ ...token, items: [item] }));
      return { raw, kind: "list", html: render({ ...token, items: [] }, links), pieces: token.items.map(of), all };
    }
    case "table": {
      const head = `table ${token.align.join()} ${token.header.length}`;
      const of = (row: Tokens.TableCell[], at: number) =>
        piece(`${head} ${JSON.stringify(row.map((cell) => cell.text))}`, at, () => ({ ...token, rows: [row] }));
      return { raw, kind: "table", html: render({ ...token, rows: [] }, links), pieces: token.rows.map(of), all };
    }
    case "code": {
      const { text } = token;
      if (text.includes(CITE_OPEN)) break; // its marks become buttons
      const html = render({ ...token, text: "" }, links);
      return { raw, kind: "code", html, pieces: [{ source: text, html: text }], all };
    }
  }
  return { raw, kind: "whole", html: all(), pieces: [], all };
}

function render(token: MarkedToken, links: Links): string {
  const list = Object.assign([token], { links }) as TokensList;
  return marked.parser(list);
}

/** Puts citations into a text, by code points; `marks` are (place, number) in any order. */
export function withMarks(text: string, marks: readonly { index: number; number: number }[]): string {
  const clean = text.replace(/[\uE000\uE001]/g, "\uFFFD");
  if (!marks.length) return clean;
  const points = Array.from(clean);
  const sorted = [...marks].sort((a, b) => a.index - b.index);
  const parts: string[] = [];
  let at = 0;
  for (const { index, number } of sorted) {
    const place = Math.min(Math.max(index, at), points.length);
    parts.push(points.slice(at, place).join(""), CITE_OPEN, String(number), CITE_CLOSE);
    at = place;
  }
  parts.push(points.slice(at).join(""));
  return parts.join("");
}
