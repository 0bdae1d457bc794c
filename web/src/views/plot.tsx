/** Small plots in SVG: bars by the day, and a line over the last minutes. The numbers stand below as a table. */

import { Table } from "./parts";

const HEIGHT = 120;
const STEP = 20;
const GAP = 5;

export interface Bar {
  label: string;
  value: number;
}

export function Bars({ title, bars, format }: { title: string; bars: Bar[]; format: (value: number) => string }) {
  const most = Math.max(...bars.map((bar) => bar.value), 0);
  const width = Math.max(bars.length * STEP, 1);
  const last = bars.at(-1);
  return (
    <figure className="plot">
      <figcaption>
        {title}
        <span className="note">at most {format(most)}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${width} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${title}: ${bars.length} days, at most ${format(most)}, last ${format(last?.value ?? 0)}`}
      >
        <line className="base" x1="0" x2={width} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
        {bars.map((bar, index) => {
          const height = most ? (bar.value / most) * (HEIGHT - 4) : 0;
          return (
            <rect key={bar.label} x={index * STEP + GAP / 2} width={STEP - GAP} y={HEIGHT - height} height={height}>
              <title>{`${bar.label}: ${format(bar.value)}`}</title>
            </rect>
          );
        })}
      </svg>
      <div className="plot-ends note" aria-hidden="true">
        <span>{bars[0]?.label}</span>
        <span>{last?.label}</span>
      </div>
      <details>
        <summary>As a table</summary>
        <Table label={title} columns={["Day", `#${title}`]}>
          {bars.map((bar) => (
            <tr key={bar.label}>
              <td>{bar.label}</td>
              <td className="number">{format(bar.value)}</td>
            </tr>
          ))}
        </Table>
      </details>
    </figure>
  );
}

export function Line({ title, values, format, most }: { title: string; values: number[]; format: (value: number) => string; most: number }) {
  const top = Math.max(...values, 0) || 1;
  const points = values.map((value, index) => {
    return `${index * STEP},${HEIGHT - 3 - (value / top) * (HEIGHT - 6)}`;
  });
  const now = values.at(-1) ?? 0;
  return (
    <figure className="plot small">
      <figcaption>
        {title}
        <strong>{format(now)}</strong>
      </figcaption>
      <svg viewBox={`0 0 ${(most - 1) * STEP} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}: ${format(now)} now, at most ${format(Math.max(...values, 0))} in the last minutes`}>
        <line className="base" x1="0" x2={(most - 1) * STEP} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
        <polyline points={points.join(" ")} />
      </svg>
    </figure>
  );
}
