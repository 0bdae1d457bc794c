/** Line icons on a grid of 24, drawn for this page. */

const PATHS = {
  add: "M12 5v14M5 12h14",
  archive: "M4 8h16M5 8v11h14V8M3 5h18v3H3zM10 12h4",
  attach: "M20 11.5 12.3 19a5 5 0 0 1-7-7l8-7.8a3.3 3.3 0 0 1 4.7 4.7l-8 7.8a1.6 1.6 0 0 1-2.3-2.3l7-7",
  back: "M15 5l-7 7 7 7",
  bad: "M7 13V4H4v9zM7 13l4 7a2 2 0 0 0 2-2v-4h5.500a1.500 1.500 0 0 0 1.500-1.800l-1.300-6.500A2 2 0 0 0 16.700 4H7",
  branch: "M7 4v10a4 4 0 0 0 4 4h6M7 9h6a4 4 0 0 0 4-4M17 15l3 3-3 3",
  check: "M5 12.5 10 17 19 7",
  close: "M6 6l12 12M18 6 6 18",
  columns: "M4 5h16v14H4zM12 5v14",
  contrast: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18M12 8h7.5M12 12h9M12 16h7.5",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  down: "M6 9l6 6 6-6",
  download: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  folder: "M4 6h5l2 2.500h9V19H4z",
  forward: "M9 5l7 7-7 7",
  gear: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.2 2.2M16.2 16.2l2.2 2.2M18.4 5.6l-2.2 2.2M7.8 16.2l-2.2 2.2",
  good: "M7 11v9H4v-9zM7 11l4-7a2 2 0 0 1 2 2v4h5.500a1.500 1.500 0 0 1 1.500 1.800l-1.300 6.500A2 2 0 0 1 16.700 20H7",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v6M12 7.5v.5",
  keys: "M3 7h18v10H3zM7 10.5h.01M11 10.5h.01M15 10.5h.01M8 14h8",
  menu: "M4 7h16M4 12h16M4 17h16",
  minus: "M5 12h14",
  moon: "M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5z",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  out: "M14 4h6v6M20 4l-9 9M18 13v7H4V6h7",
  pin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v7",
  retry: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 20 20",
  send: "M12 19V5M6 11l6-6 6 6",
  sidebar: "M4 5h16v14H4zM9.5 5v14",
  speak: "M5 9.5v5h3l5 4v-13l-5 4zM16.5 9a4.2 4.2 0 0 1 0 6M19 6.500a7.800 7.800 0 0 1 0 11",
  stop: "M7 7h10v10H7z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5V5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3l1.8 1.8M16.9 16.9l1.8 1.8M18.7 5.3l-1.8 1.8M7.1 16.9l-1.8 1.8",
  tool: "M14.5 6.5a4 4 0 0 0-5.3 5.2L4 17l3 3 5.300-5.200a4 4 0 0 0 5.200-5.300L15 12l-3-3z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.500 11v5.500M13.500 11v5.500",
  tree: "M6 4v16M6 8h6a3 3 0 0 1 3 3v0M6 14h9M15 11h3M15 14h3",
  user: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.500 20a7.500 7.500 0 0 1 15 0",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon-lines" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
