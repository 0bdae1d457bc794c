import { memo, useMemo, useRef, type MouseEvent } from "react";
import { BlockView } from "./block";
import { GrowingText } from "./lexer";

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
