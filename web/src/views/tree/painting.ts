/** Paints what is on the screen of the tree: lines, cards or, from afar, shapes, and the names of branches. */

import type { Preview } from "../../state/places";
import { HEIGHT, WIDTH, type Layout, type Spot } from "./layout";

/** Below this words are too small to be read, and are left out. */
export const WORDS_SCALE = 0.55;
const CORNER = 9;
const TEXT_ROOM = WIDTH - 22;

export interface Shown {
  layout: Layout;
  /** For each segment of the path the depth up to which it is lit. */
  lit: ReadonlyMap<string, number>;
  previews: ReadonlyMap<string, Preview>;
  /** Names of branches, by the place of their heads. */
  names: ReadonlyMap<string, string>;
  chosen: string | null;
}

export interface Colours {
  ground: string;
  raised: string;
  line: string;
  lineStrong: string;
  ink: string;
  soft: string;
  accent: string;
  accentSoft: string;
  font: string;
}

/** One frame; `fitted` keeps from frame to frame how words were cut. */
export class Painting {
  constructor(
    private readonly context: CanvasRenderingContext2D,
    private readonly shown: Shown,
    private readonly scale: number,
    private readonly colours: Colours,
    private readonly fitted: Map<string, string>,
  ) {}

  /** Paints some spots; returns the segments whose words would be seen and are not known. */
  paint(spots: Spot[]): Set<string> {
    this.lines(spots);
    if (this.scale >= WORDS_SCALE) return this.cards(spots);
    this.shapes(spots);
    return new Set();
  }

  private isLit(spot: Spot): boolean {
    return spot.depth <= (this.shown.lit.get(spot.segment) ?? -1);
  }

  private lines(spots: Spot[]): void {
    const context = this.context;
    const thin = Math.max(1.2, 1 / this.scale);
    for (const lit of [false, true]) {
      context.beginPath();
      for (const spot of spots) {
        if (!spot.parent || this.isLit(spot) !== lit) continue;
        const from = spot.parent.y + HEIGHT / 2;
        const to = spot.y - HEIGHT / 2;
        context.moveTo(spot.parent.x, from);
        if (spot.parent.x === spot.x) context.lineTo(spot.x, to);
        else context.bezierCurveTo(spot.parent.x, to, spot.x, from, spot.x, to);
      }
      context.strokeStyle = lit ? this.colours.accent : this.colours.lineStrong;
      context.lineWidth = lit ? 2 * thin : thin;
      context.stroke();
    }
  }

  /** Small: one path for each colour, without words. */
  private shapes(spots: Spot[]): void {
    const context = this.context;
    for (const lit of [false, true]) {
      context.beginPath();
      for (const spot of spots) {
        if (this.isLit(spot) === lit) context.rect(spot.x - WIDTH / 2, spot.y - HEIGHT / 2, WIDTH, HEIGHT);
      }
      context.fillStyle = lit ? this.colours.accent : this.colours.lineStrong;
      context.fill();
    }
    const chosen = this.shown.layout.byKey.get(this.shown.chosen ?? "");
    if (!chosen) return;
    context.strokeStyle = this.colours.ink;
    context.lineWidth = 2 / this.scale;
    context.strokeRect(chosen.x - WIDTH / 2, chosen.y - HEIGHT / 2, WIDTH, HEIGHT);
  }

  /** Returns the segments whose words are not known. */
  private cards(spots: Spot[]): Set<string> {
    const context = this.context;
    const missing = new Set<string>();
    context.font = `12.5px ${this.colours.font}`;
    context.textBaseline = "middle";
    for (const spot of spots) {
      const preview = this.shown.previews.get(spot.key);
      if (!preview) missing.add(spot.segment);
      this.card(spot, preview);
    }
    this.names(spots);
    return missing;
  }

  private card(spot: Spot, preview: Preview | undefined): void {
    const context = this.context;
    const lit = this.isLit(spot);
    const chosen = spot.key === this.shown.chosen;
    context.beginPath();
    context.roundRect(spot.x - WIDTH / 2, spot.y - HEIGHT / 2, WIDTH, HEIGHT, CORNER);
    context.fillStyle = preview?.role === "user" ? this.colours.accentSoft : this.colours.raised;
    context.fill();
    context.strokeStyle = chosen ? this.colours.ink : lit ? this.colours.accent : this.colours.line;
    context.lineWidth = chosen ? 2.5 : lit ? 1.8 : 1;
    context.stroke();
    context.fillStyle = lit ? this.colours.ink : this.colours.soft;
    context.textAlign = "left";
    context.fillText(this.words(spot, preview), spot.x - WIDTH / 2 + 11, spot.y + 0.5);
  }

  private names(spots: Spot[]): void {
    const context = this.context;
    context.font = `600 11px ${this.colours.font}`;
    context.textAlign = "center";
    for (const spot of spots) {
      const name = this.shown.names.get(spot.key);
      if (!name) continue;
      const y = spot.y + HEIGHT / 2 + 8;
      const short = name.length > 26 ? `${name.slice(0, 25)}…` : name;
      context.lineWidth = 4;
      context.strokeStyle = this.colours.ground;
      context.strokeText(short, spot.x, y);
      context.fillStyle = this.isLit(spot) ? this.colours.accent : this.colours.soft;
      context.fillText(short, spot.x, y);
    }
  }

  private words(spot: Spot, preview: Preview | undefined): string {
    if (!preview) return "…";
    const text = wordsOf(preview);
    const whole = spot.count > 1 ? `${spot.count} messages … ${text}` : text;
    const known = this.fitted.get(whole);
    if (known !== undefined) return known;
    const fitted = this.cut(whole.slice(0, 60));
    this.fitted.set(whole, fitted);
    return fitted;
  }

  private cut(text: string): string {
    if (this.context.measureText(text).width <= TEXT_ROOM) return text;
    let [low, high] = [0, text.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.context.measureText(`${text.slice(0, middle)}…`).width <= TEXT_ROOM) low = middle;
      else high = middle - 1;
    }
    return `${text.slice(0, low).trimEnd()}…`;
  }
}

/** What a card says: the words, or what it is where there are none. */
export function wordsOf(preview: Preview): string {
  if (preview.text) return preview.text;
  return preview.type === "message" ? "(no text)" : `(${preview.type.replaceAll("_", " ")})`;
}

export function coloursOf(canvas: HTMLCanvasElement): Colours {
  const style = getComputedStyle(canvas);
  // A property that holds two colours is one only where it is used.
  const of = (name: string) => {
    canvas.style.color = `var(${name})`;
    return style.color;
  };
  const colours = {
    ground: of("--sunken"),
    raised: of("--raised"),
    line: of("--line-strong"),
    lineStrong: of("--line-strong"),
    ink: of("--ink"),
    soft: of("--ink-soft"),
    accent: of("--accent"),
    accentSoft: of("--accent-soft"),
    font: style.fontFamily,
  };
  canvas.style.color = "";
  return colours;
}
