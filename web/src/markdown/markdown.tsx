import { memo, useLayoutEffect, useMemo, useRef, type MouseEvent } from "react";
import { cleanMarkdown } from "./clean";
import { CITE_CLOSE, CITE_OPEN, GrowingText, type Block } from "./lexer";

const MARK = new RegExp(`${CITE_OPEN}(\\d+)${CITE_CLOSE}`);
const COPIED_MILLISECONDS = 1500;

/** A text in Markdown. While it grows only blocks that change are rendered, and colours wait until a block is done. */
export const Markdown = memo(function Markdown({
  text,
  growing = false,
  onCite,
}: {
  text: string;
  growing?: boolean;
  onCite?: (number: number) => void;
}) {
  const lexer = useRef<GrowingText>(null);
  lexer.current ??= new GrowingText();
  const blocks = useMemo(() => lexer.current!.read(text), [text]);
  const onClick = (event: MouseEvent) => {
    const target = (event.target as HTMLElement).closest<HTMLElement>("[data-cite],[data-copy]");
    if (target?.dataset.cite) onCite?.(Number(target.dataset.cite));
    else if (target) copyCode(target);
  };
  return (
    <div className="markdown" onClick={onClick}>
      {blocks.map((block, index) => (
        <BlockView key={index} block={block} settled={!growing || index < blocks.length - 1} />
      ))}
    </div>
  );
});

const BlockView = memo(function BlockView({ block, settled }: { block: Block; settled: boolean }) {
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const fragment = cleanMarkdown(block.html);
    decorate(fragment);
    element.current!.replaceChildren(fragment);
  }, [block.html]);
  useLayoutEffect(() => {
    if (settled) void finish(element.current!);
  }, [block.html, settled]);
  return <div className="block" ref={element} />;
});

/** Adds what is ours: citations as buttons, a head for code, a frame for wide tables. */
function decorate(root: DocumentFragment): void {
  for (const table of root.querySelectorAll("table")) {
    const frame = document.createElement("div");
    frame.className = "table-frame";
    frame.tabIndex = 0;
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", "Table");
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const box of root.querySelectorAll("input")) box.setAttribute("aria-label", "Task");
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

/** Colours code and sets formulas, each by a library that comes when it is needed. */
async function finish(root: HTMLElement): Promise<void> {
  for (const pre of root.querySelectorAll<HTMLElement>("pre[data-lang]:not([data-lang=''])")) {
    const code = pre.querySelector("code")!;
    const { highlighted } = await import("./highlight");
    const coloured = code.isConnected ? highlighted(code.textContent ?? "", pre.dataset.lang!.toLowerCase()) : null;
    if (coloured) code.replaceChildren(coloured);
  }
  for (const place of root.querySelectorAll<HTMLElement>("[data-math]")) {
    const { formula } = await import("./math");
    const source = place.textContent ?? "";
    const set = place.isConnected ? formula(source, place.dataset.math === "block") : null;
    if (set) place.replaceChildren(set);
    place.className = `${set ? "math" : "math wrong"} ${place.dataset.math}`;
    delete place.dataset.math;
  }
}

function copyCode(button: HTMLElement): void {
  const code = button.closest("figure")?.querySelector("code")?.textContent ?? "";
  void copyText(code).then((done) => {
    button.textContent = done ? "Copied" : "Not copied";
    setTimeout(() => (button.textContent = "Copy"), COPIED_MILLISECONDS);
  });
}

/** Copies, also where the page is no secure context and the clipboard's own API is not there. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text, className: "off-screen" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
