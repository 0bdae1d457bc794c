import { memo, useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { readPreviews, usePreviews, type Preview } from "../../state/places";
import { Icon } from "../../frame/icons";
import { wordsOf } from "./painting";
import type { Layout, Spot } from "./layout";

interface Row {
  spot: Spot;
  level: number;
  position: number;
  size: number;
  /** How many other ways lead on from here. */
  forks: number;
  isOpen: boolean;
  /** The row that it hangs from. */
  above: string | null;
}

/**
 * The same tree for eyes and ears that have no use for a drawing: a message is an entry, those that follow it on the
 * same line stand below it, and where the conversation forked the other lines stand within the entry.
 */
export function Outline({
  layout,
  lit,
  chosen,
  onChoose,
}: {
  layout: Layout;
  lit: ReadonlyMap<string, number>;
  chosen: string | null;
  onChoose: (spot: Spot) => void;
}) {
  const previews = usePreviews();
  const [rows, toggle] = useRows(layout, lit);
  const [focused, setFocused] = useState<string | null>(null);
  const root = useRef<HTMLDivElement>(null);
  useMissing(root, rows, previews);
  const stops = rows.some((row) => row.spot.key === focused) ? focused : lastLit(rows, lit, chosen);

  useEffect(() => bringIntoView(root.current, chosen), [chosen]);

  const focus = (key: string | undefined) => {
    if (!key) return;
    setFocused(key);
    root.current?.querySelector<HTMLElement>(`[data-key="${key}"]`)?.focus();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const at = rows.findIndex((row) => row.spot.key === (event.target as HTMLElement).dataset.key);
    const row = rows[at];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = keysOf(rows, at, { focus, toggle, onChoose });
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };

  return (
    <div className="outline" role="tree" aria-label="Outline of the conversation" ref={root} onKeyDown={onKeyDown}>
      {rows.map((row) => (
        <Entry
          key={row.spot.key}
          row={row}
          preview={previews.get(row.spot.key)}
          isLit={isLit(row.spot, lit)}
          isChosen={row.spot.key === chosen}
          stops={row.spot.key === stops}
          onChoose={onChoose}
          onToggle={toggle}
        />
      ))}
    </div>
  );
}

function bringIntoView(root: HTMLElement | null, key: string | null): void {
  if (key) root?.querySelector(`[data-key="${key}"]`)?.scrollIntoView({ block: "nearest" });
}

/** The rows that are not folded away, and what folds one or opens it. */
function useRows(layout: Layout, lit: ReadonlyMap<string, number>): [Row[], (row: Row, open: boolean) => void] {
  const following = useMemo(() => followingOf(layout), [layout]);
  const [toggled, setToggled] = useState<ReadonlyMap<string, boolean>>(new Map());
  const rows = useMemo(() => rowsOf(layout, following, lit, toggled), [layout, following, lit, toggled]);
  return [rows, (row, open) => setToggled(new Map([...toggled, [row.spot.key, open]]))];
}

interface Acts {
  focus: (key: string | undefined) => void;
  toggle: (row: Row, open: boolean) => void;
  onChoose: (spot: Spot) => void;
}

/** What the keys do on a row, as the ARIA tree pattern has it. */
function keysOf(rows: Row[], at: number, { focus, toggle, onChoose }: Acts): Record<string, () => void> {
  const row = rows[at]!;
  const into = () => (row.isOpen ? focus(rows[at + 1]?.spot.key) : toggle(row, true));
  return {
    ArrowDown: () => focus(rows[at + 1]?.spot.key),
    ArrowUp: () => focus(rows[at - 1]?.spot.key),
    Home: () => focus(rows[0]?.spot.key),
    End: () => focus(rows.at(-1)?.spot.key),
    ArrowRight: () => row.forks && into(),
    ArrowLeft: () => (row.forks && row.isOpen ? toggle(row, false) : focus(row.above ?? undefined)),
    Enter: () => onChoose(row.spot),
    " ": () => onChoose(row.spot),
  };
}

const Entry = memo(
  function Entry({
    row,
    preview,
    isLit,
    isChosen,
    stops,
    onChoose,
    onToggle,
  }: {
    row: Row;
    preview: Preview | undefined;
    isLit: boolean;
    isChosen: boolean;
    stops: boolean;
    onChoose: (spot: Spot) => void;
    onToggle: (row: Row, open: boolean) => void;
  }) {
    const { spot, forks, isOpen } = row;
    const who = preview ? (preview.role === "user" ? "Asked" : preview.role === "assistant" ? "Answer" : "Other") : "";
    return (
      <div
        role="treeitem"
        className={isLit ? "outline-row lit" : "outline-row"}
        data-key={spot.key}
        data-missing={preview ? undefined : spot.segment}
        aria-level={row.level}
        aria-posinset={row.position}
        aria-setsize={row.size}
        aria-expanded={forks ? isOpen : undefined}
        aria-selected={isChosen}
        aria-current={isLit ? "true" : undefined}
        tabIndex={stops ? 0 : -1}
        onClick={() => onChoose(spot)}
        style={{ paddingInlineStart: `${0.4 + Math.min(row.level - 1, 12) * 1.1}rem` }}
      >
        <span
          className={forks ? "twist can" : "twist"}
          aria-hidden="true"
          onClick={(event) => {
            if (!forks) return;
            event.stopPropagation();
            onToggle(row, !isOpen);
          }}
        >
          {forks > 0 && <Icon name={isOpen ? "down" : "forward"} />}
        </span>
        <span className="who">{who}</span>
        <span className="words">
          {spot.count > 1 && `${spot.count} messages … `}
          {preview ? wordsOf(preview) : "…"}
        </span>
        {forks > 0 && <span className="forks">{forks === 1 ? "1 other way" : `${forks} other ways`}</span>}
      </div>
    );
  },
  (before, after) =>
    before.preview === after.preview &&
    before.isLit === after.isLit &&
    before.isChosen === after.isChosen &&
    before.stops === after.stops &&
    before.row.spot === after.row.spot &&
    before.row.isOpen === after.row.isOpen &&
    before.row.size === after.row.size &&
    before.row.forks === after.row.forks &&
    before.onToggle === after.onToggle,
);

function isLit(spot: Spot, lit: ReadonlyMap<string, number>): boolean {
  return spot.depth <= (lit.get(spot.segment) ?? -1);
}

function lastLit(rows: Row[], lit: ReadonlyMap<string, number>, chosen: string | null): string | null {
  if (rows.some((row) => row.spot.key === chosen)) return chosen;
  return (rows.findLast((row) => isLit(row.spot, lit)) ?? rows[0])?.spot.key ?? null;
}

function followingOf(layout: Layout): ReadonlyMap<Spot | null, Spot[]> {
  const following = new Map<Spot | null, Spot[]>();
  for (const spot of layout.spots) {
    const known = following.get(spot.parent);
    if (known) known.push(spot);
    else following.set(spot.parent, [spot]);
  }
  return following;
}

function rowsOf(
  layout: Layout,
  following: ReadonlyMap<Spot | null, Spot[]>,
  lit: ReadonlyMap<string, number>,
  toggled: ReadonlyMap<string, boolean>,
): Row[] {
  const rows: Row[] = [];
  const walk = (starts: Spot[], level: number, above: string | null) => {
    const group: Row[] = [];
    for (const start of starts) {
      for (let spot: Spot | undefined = start; spot; ) {
        const next: Spot[] = following.get(spot) ?? [];
        const forks = next.filter((one) => one.segment !== spot!.segment);
        const isOpen = forks.length > 0 && (toggled.get(spot.key) ?? forks.some((one) => isLit(one, lit)));
        const row: Row = { spot, level, position: 0, size: 0, forks: forks.length, isOpen, above };
        group.push(row);
        rows.push(row);
        if (isOpen) walk(forks, level + 1, spot.key);
        spot = next.find((one) => one.segment === row.spot.segment);
      }
    }
    group.forEach((row, index) => Object.assign(row, { position: index + 1, size: group.length }));
  };
  walk(following.get(null) ?? [], 1, null);
  return layout.spots.length ? rows : [];
}

/** Reads the words of entries when they come into view. */
function useMissing(root: { current: HTMLElement | null }, rows: Row[], previews: ReadonlyMap<string, Preview>): void {
  useEffect(() => {
    const watch = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          const segment = (target as HTMLElement).dataset.missing;
          if (isIntersecting && segment) readPreviews(segment);
        }
      },
      { root: root.current },
    );
    root.current?.querySelectorAll("[data-missing]").forEach((one) => watch.observe(one));
    return () => watch.disconnect();
  }, [root, rows, previews]);
}
