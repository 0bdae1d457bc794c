/** Small parts that several views are made of. */

import { Fragment, type ReactNode } from "react";
import { copyText } from "../markdown/markdown";
import type { Listed } from "../state/lists";
import { tell } from "../state/notices";
import { link } from "../state/router";
import "../styles/views.css";

/** The sections of a view as links; the open one is marked. */
export function Sections({ view, open, all }: { view: string; open: string; all: [string, string][] }) {
  return (
    <nav className="tabs sections" aria-label="Sections">
      {all.map(([name, title]) => (
        <a key={name} href={link(view, name)} aria-current={name === open ? "page" : undefined}>
          {title}
        </a>
      ))}
    </nav>
  );
}

/** A table in a frame that scrolls where there is no room; columns with a leading "#" hold numbers. */
export function Table({ label, columns, children }: { label: string; columns: string[]; children: ReactNode }) {
  return (
    <div className="frame-table" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {columns.map((name, index) => (
              <th key={index} scope="col" className={name.startsWith("#") ? "number" : undefined}>
                {name ? name.replace(/^#/, "") : <span className="off-screen">Actions</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

interface RowsOf<T> {
  listed: Listed<T>;
  label: string;
  columns: string[];
  /** What is said where there are none. */
  none: string;
  children: (one: T) => ReactNode;
}

/** A list as a table, with what reads more of it. */
export function Rows<T extends { id: string }>({ listed: { list, hasMore, more }, label, columns, none, children }: RowsOf<T>) {
  return (
    <>
      {list?.length === 0 && <p className="empty">{none}</p>}
      {list && list.length > 0 && (
        <Table label={label} columns={columns}>
          {list.map((one) => (
            <Fragment key={one.id}>{children(one)}</Fragment>
          ))}
        </Table>
      )}
      {hasMore && <More onClick={more} />}
    </>
  );
}

/** What reads the next page of a list. */
export function More({ onClick }: { onClick: () => void }) {
  return (
    <button className="quiet" onClick={onClick}>
      More
    </button>
  );
}

/** Something that is shown this once, to be copied. */
export function Secret({ value, children }: { value: string; children: ReactNode }) {
  return (
    <div className="shown-once" role="status">
      <p>{children}</p>
      <div className="secret">
        <code>{value}</code>
        <button
          type="button"
          className="quiet"
          onClick={() => void copyText(value).then((done) => tell(done ? "Copied." : "It could not be copied."))}
        >
          Copy
        </button>
      </div>
    </div>
  );
}

export function Problem({ text }: { text: string | null }) {
  if (!text) return null;
  return (
    <p className="problem" role="alert">
      {text}
    </p>
  );
}

export function day(seconds: number | null | undefined): string {
  return seconds ? new Date(seconds * 1000).toLocaleDateString() : "–";
}

export function moment(seconds: number | null | undefined): string {
  return seconds ? new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" }) : "–";
}

export function bytes(count: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  for (; count >= 1000 && at < units.length - 1; at++) count /= 1000;
  return `${count < 10 && at ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}

export function number(count: number): string {
  return count.toLocaleString();
}
