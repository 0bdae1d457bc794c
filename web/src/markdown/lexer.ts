/**
 * Markdown as blocks of HTML. Of a text that grows only its last blocks are read again. HTML in the text is shown
 * as text, pictures become links (nothing is fetched before somebody asks), addresses are absolute or no links.
 */

import { Marked, type MarkedToken, type Token, type TokensList } from "marked";

export interface Block {
  raw: string;
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

  /** Returns the blocks of a text; those that did not change are the same objects as before. */
  read(text: string): Block[] {
    const whole = text.replace(/\r\n?/g, "\n");
    if (whole === this.text) return this.blocks;
    let kept = 0;
    if (this.text && whole.startsWith(this.text)) kept = Math.max(this.tokens.length - 4, 0);
    let offset = 0;
    for (let index = 0; index < kept; index++) offset += this.tokens[index]!.raw.length;
    const lexed = marked.lexer(whole.slice(offset));
    const fresh = lexed.filter((token) => token.type !== "def" || token.raw);
    this.tokens = [...this.tokens.slice(0, kept), ...fresh];
    this.text = whole;
    this.blocks = this.rendered(lexed.links);
    return this.blocks;
  }

  private rendered(links: Links): Block[] {
    const before = this.blocks;
    const blocks: Block[] = [];
    for (const token of this.tokens) {
      if (token.type === "space" || token.type === "def") continue;
      const known = before[blocks.length];
      if (known?.raw === token.raw) blocks.push(known);
      else blocks.push({ raw: token.raw, html: render(token as MarkedToken, links) });
    }
    return blocks;
  }
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
