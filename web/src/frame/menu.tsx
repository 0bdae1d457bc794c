import { useEffect, useId, useLayoutEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";

const GAP = 4;
const EDGE = 8;

interface Opened {
  label: string;
  trigger: ReactNode;
  children: (close: () => void, sought: string) => ReactNode;
  className?: string;
  align?: "start" | "end";
  search?: string | false;
}

/**
 * A button with a list of actions, by mouse and by keyboard as the ARIA menu pattern has it. The list is a native
 * popover, so that nothing around it cuts it off; it opens where there is more room. With `search`, which names a
 * field above the list, what is written there is for `children` to look for.
 */
export function Menu({ label, trigger, children, className = "icon", align = "end", search }: Opened) {
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
    first(root.current!)?.focus();
    return onLeaving(root.current!, () => setOpen(false));
  }, [open]);

  const onKeyDown = (event: KeyboardEvent) => {
    if (open) onKey(event, items(root.current), close, () => setOpen(false));
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
        <div ref={list} popover="manual" className="menu-list">
          <List id={id} label={label} search={search} actions={(sought) => children(close, sought)} />
        </div>
      )}
    </div>
  );
}

interface Listed {
  id: string;
  label: string;
  search?: string | false;
  actions: (sought: string) => ReactNode;
}

/** The actions, and where `search` names it a field above them for what is looked for. Enter takes the first one. */
function List({ id, label, search, actions }: Listed) {
  const [sought, setSought] = useState("");
  const take = (event: KeyboardEvent<HTMLInputElement>) => {
    if (event.key !== "Enter" || event.nativeEvent.isComposing) return;
    event.preventDefault();
    if (sought) items(event.currentTarget.closest<HTMLElement>(".menu"))[0]?.click();
  };
  return (
    <>
      {search && (
        <input
          type="search"
          className="menu-search"
          aria-label={search}
          aria-controls={id}
          placeholder={search}
          value={sought}
          onChange={(event) => setSought(event.target.value)}
          onKeyDown={take}
        />
      )}
      <div role="menu" id={id} aria-label={label}>
        {actions(sought.trim().toLowerCase())}
      </div>
    </>
  );
}

/** What has the focus when a menu opens; on a touch screen a field would bring up the keyboard over the list. */
function first(root: HTMLElement): HTMLElement | undefined {
  const field = matchMedia("(pointer: coarse)").matches ? null : root.querySelector<HTMLElement>(".menu-search");
  return field ?? items(root)[0];
}

/** Calls `leave` when anything outside is touched or focused, or the menu is scrolled away. Returns what undoes it. */
function onLeaving(root: HTMLElement, leave: () => void): () => void {
  const ending = new AbortController();
  const { signal } = ending;
  const look = (event: Event) => {
    if (!root.contains(event.target as Node)) leave();
  };
  for (const kind of ["pointerdown", "focusin"]) document.addEventListener(kind, look, { signal });
  const before = root.getBoundingClientRect();
  const scrolled = () => {
    const now = root.getBoundingClientRect(); // what scrolled before it opened may be told afterwards
    if (now.top !== before.top || now.left !== before.left) leave();
  };
  document.addEventListener("scroll", scrolled, { capture: true, signal });
  return () => ending.abort();
}

function onKey(event: KeyboardEvent, all: HTMLElement[], close: () => void, leave: () => void): void {
  if (moved(all, event.key)) event.preventDefault();
  else if (event.key === "Escape") {
    event.preventDefault();
    event.stopPropagation();
    close();
  } else if (event.key === "Tab") leave();
}

/** Moves the focus among the items as a key says; returns whether it is such a key. */
function moved(all: HTMLElement[], key: string): boolean {
  const active = document.activeElement as HTMLElement;
  const at = all.indexOf(active);
  if (!all.length || (active.matches("input") && !key.startsWith("Arrow"))) return false;
  const moves: Record<string, number> = {
    ArrowDown: (at + 1) % all.length,
    ArrowUp: at < 0 ? all.length - 1 : (at - 1 + all.length) % all.length,
    Home: 0,
    End: all.length - 1,
  };
  if (!(key in moves)) return false;
  all[moves[key]!]?.focus();
  return true;
}

function place(list: HTMLElement, button: DOMRect, align: "start" | "end"): void {
  list.showPopover();
  const below = innerHeight - button.bottom;
  const upwards = below < list.offsetHeight + EDGE && button.top > below;
  const room = (upwards ? button.top : below) - GAP - EDGE;
  const left = align === "start" ? button.left : button.right - list.offsetWidth;
  list.style.minWidth = `${list.offsetWidth}px`; // a list that is looked through keeps its width
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
