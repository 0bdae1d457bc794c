/** Where every message of a tree is drawn. Depth goes down the page, alternatives stand beside each other. */

import { hierarchy, tree } from "d3-hierarchy";
import type { Segment } from "../../api/types";
import { endOf, keyOf, type PlaceOf } from "../../state/places";

/** Distances in units of the drawing, which are pixels when it is not zoomed. */
export const ACROSS = 176;
export const DOWN = 60;
export const WIDTH = 152;
export const HEIGHT = 34;

/** With more messages than this, unbranched stretches are drawn as one. */
const MOST_NODES = 5000;

export interface Spot extends PlaceOf {
  key: string;
  /** How many messages it stands for, this one the last of them. */
  count: number;
  x: number;
  y: number;
  parent: Spot | null;
}

export interface Layout {
  /** By y, so that what is on the screen is found by halving. */
  spots: Spot[];
  byKey: ReadonlyMap<string, Spot>;
  bounds: { left: number; right: number; top: number; bottom: number };
}

interface Point extends PlaceOf {
  count: number;
  children: Point[];
}

export function layoutOf(segments: ReadonlyMap<string, Segment>): Layout {
  const root: Point = { segment: "", depth: -1, count: 0, children: pointsOf(segments) };
  const laid = tree<Point>()
    .nodeSize([ACROSS, DOWN])
    .separation(() => 1)(hierarchy(root));
  const spots: Spot[] = [];
  const placed = new Map<Point, Spot>();
  laid.each((node) => {
    if (node.data === root) return;
    const { segment, depth, count } = node.data;
    const parent = node.parent ? (placed.get(node.parent.data) ?? null) : null;
    const spot = { key: keyOf(node.data), segment, depth, count, x: node.x, y: node.y, parent };
    placed.set(node.data, spot);
    spots.push(spot);
  });
  spots.sort((one, other) => one.y - other.y);
  return { spots, byKey: new Map(spots.map((spot) => [spot.key, spot])), bounds: boundsOf(spots) };
}

function boundsOf(spots: Spot[]): Layout["bounds"] {
  let [left, right] = [0, 0];
  for (const { x } of spots) {
    left = Math.min(left, x);
    right = Math.max(right, x);
  }
  return {
    left: left - WIDTH / 2,
    right: right + WIDTH / 2,
    top: (spots[0]?.y ?? 0) - HEIGHT / 2,
    bottom: (spots.at(-1)?.y ?? 0) + HEIGHT / 2,
  };
}

function pointsOf(segments: ReadonlyMap<string, Segment>): Point[] {
  let total = 0;
  const leaving = new Map<string, Segment[]>();
  const roots: Segment[] = [];
  for (const segment of segments.values()) {
    total += segment.item_count;
    const parent = segment.parent_segment_id;
    if (parent === null || !segments.has(parent)) roots.push(segment);
    else leaving.set(parent, [...(leaving.get(parent) ?? []), segment]);
  }
  const tops: Point[] = [];
  // A stack, since conversations are deeper than calls may be.
  const waiting: [Segment, Point[]][] = roots.map((segment) => [segment, tops]);
  while (waiting.length) {
    const [segment, above] = waiting.shift()!;
    const forks = leaving.get(segment.id) ?? [];
    let last: Point | null = null;
    let before = segment.fork_depth;
    const at = new Map<number, Point>();
    for (const depth of drawn(segment, forks, total > MOST_NODES)) {
      const point: Point = { segment: segment.id, depth, count: depth - before, children: [] };
      (last ? last.children : above).push(point);
      at.set(depth, point);
      before = depth;
      last = point;
    }
    for (const fork of forks) waiting.push([fork, at.get(fork.fork_depth)?.children ?? above]);
  }
  return tops;
}

function drawn(segment: Segment, forks: Segment[], shortened: boolean): number[] {
  const first = segment.fork_depth + 1;
  const last = endOf(segment);
  if (last < first) return [];
  if (!shortened) return Array.from({ length: segment.item_count }, (_, index) => first + index);
  const wanted = new Set([first, last, ...forks.map((fork) => fork.fork_depth)]);
  return [...wanted].filter((depth) => depth >= first && depth <= last).sort((one, other) => one - other);
}
