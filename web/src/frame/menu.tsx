import { useEffect, useId, useLayoutEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";

const GAP = 4;
const EDGE = 8;

/**
 * A button with a list of actions, by mouse and by keyboard as the ARIA menu pattern has it. The list is a native
 * popover, so that nothing around it cuts it off; it opens where there is more room.
 */
export function Menu({
  label,
  trigger,
  children,
  className = "icon",
  align = "end",
}: {
  label: string;
  trigger: ReactNode;
  children: (close: () => void) => ReactNode;
  className?: string;
  align?: "start" | "end";
}) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };

  useLayoutEffect(() => {
    if (open) place(list.current!, button.current!.getBoundingClientRect(), align);
  }, [open, align]);

  useEffect(() => {
    if (!open) return;
    items(root.current)[0]?.focus();
    const leave = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    const scroll = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", leave);
    document.addEventListener("focusin", leave);
    document.addEventListener("scroll", scroll, true);
    return () => {
      document.removeEventListener("scroll", scroll, true);
      document.removeEventListener("pointerdown", leave);
      document.removeEventListener("focusin", leave);
    };
  }, [open]);

  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    const all = items(root.current);
    const at = all.indexOf(document.activeElement as HTMLElement);
    const moves: Record<string, number> = {
      ArrowDown: (at + 1) % all.length,
      ArrowUp: (at - 1 + all.length) % all.length,
      Home: 0,
      End: all.length - 1,
    };
    if (event.key in moves) {
      event.preventDefault();
      all[moves[event.key]!]?.focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    } else if (event.key === "Tab") setOpen(false);
  };

  return (
    <div className="menu" ref={root} onKeyDown={onKeyDown}>
      <button
        type="button"
        ref={button}
        className={className}
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
      >
        {trigger}
      </button>
      {open && (
        <div ref={list} popover="manual" className="menu-list" role="menu" id={id} aria-label={label}>
          {children(close)}
        </div>
      )}
    </div>
  );
}

function place(list: HTMLElement, button: DOMRect, align: "start" | "end"): void {
  list.showPopover();
  const below = innerHeight - button.bottom;
  const upwards = below < list.offsetHeight + EDGE && button.top > below;
  const room = (upwards ? button.top : below) - GAP - EDGE;
  const left = align === "start" ? button.left : button.right - list.offsetWidth;
  list.style.maxHeight = `${Math.min(room, 420)}px`;
  list.style.left = `${Math.max(EDGE, Math.min(left, innerWidth - list.offsetWidth - EDGE))}px`;
  if (upwards) list.style.bottom = `${innerHeight - button.top + GAP}px`;
  else list.style.top = `${button.bottom + GAP}px`;
}

function items(root: HTMLElement | null): HTMLElement[] {
  return [...(root?.querySelectorAll<HTMLElement>('[role^="menuitem"]:not([aria-disabled="true"])') ?? [])];
}

export function MenuItem({
  children,
  onClick,
  checked,
  danger = false,
}: {
  children: ReactNode;
  onClick: () => void;
  checked?: boolean;
  danger?: boolean;
}) {
  return (
    <button
      type="button"
      role={checked === undefined ? "menuitem" : "menuitemcheckbox"}
      aria-checked={checked}
      tabIndex={-1}
      className={danger ? "menu-item danger" : "menu-item"}
      onClick={onClick}
    >
      {children}
    </button>
  );
}
