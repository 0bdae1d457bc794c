/** Sums of use by the day, in UTC as the ledger counts. */

export interface Sums {
  requests: number;
  input_tokens: number;
  output_tokens: number;
  cost: number;
}

const NOTHING: Sums = { requests: 0, input_tokens: 0, output_tokens: 0, cost: 0 };

function plus(one: Sums, other: Sums): Sums {
  return {
    requests: one.requests + other.requests,
    input_tokens: one.input_tokens + other.input_tokens,
    output_tokens: one.output_tokens + other.output_tokens,
    cost: one.cost + other.cost,
  };
}

/** Returns the dates of the last days, today last. */
export function lastDays(count: number): string[] {
  const now = Date.now();
  return Array.from({ length: count }, (_, index) => dateOf(now / 1000 - (count - 1 - index) * 86_400));
}

/** Returns the date of a time, in seconds since 1970. */
export function dateOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}

export function sumsByDay(lines: (Sums & { date: string })[], days: string[]): [string, Sums][] {
  const sums = new Map(days.map((day) => [day, NOTHING]));
  for (const line of lines) {
    const known = sums.get(line.date);
    if (known) sums.set(line.date, plus(known, line));
  }
  return [...sums];
}
