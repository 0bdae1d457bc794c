/** The server's metrics, read from the text that Prometheus reads. */

import { send } from "../../api/client";

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

export function parseMetrics(text: string): Sample[] {
  const found: Sample[] = [];
  for (const line of text.split("\n")) {
    const parts = line.startsWith("#") ? null : LINE.exec(line);
    if (!parts) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (parts[2] ?? "").matchAll(LABEL)) labels[name!] = value!.replace(/\\(.)/g, "$1");
    found.push({ name: parts[1]!, labels, value: Number(parts[3]) });
  }
  return found;
}

export async function readMetrics(): Promise<Sample[]> {
  return parseMetrics(await (await send("/metrics")).text());
}

/** Returns the sum of a metric over all samples whose labels are as wanted. */
export function sum(samples: Sample[], name: string, wanted: (labels: Sample["labels"]) => boolean = () => true): number {
  return samples.reduce((all, one) => (one.name === name && wanted(one.labels) ? all + one.value : all), 0);
}

/** Returns the bound below which a share of a histogram's values lie, in the histogram's unit; null without values. */
export function quantile(samples: Sample[], name: string, share: number): number | null {
  const buckets = samples
    .filter((one) => one.name === `${name}_bucket`)
    .map((one) => ({ most: Number(one.labels.le === "+Inf" ? Infinity : one.labels.le), count: one.value }))
    .sort((one, other) => one.most - other.most);
  const total = buckets.at(-1)?.count ?? 0;
  if (!total) return null;
  return buckets.find((one) => one.count >= share * total)!.most;
}
