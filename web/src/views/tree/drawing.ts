/**
 * The tree on a canvas: draws what is on the screen, and is panned and zoomed by mouse, touch and keys. It knows
 * nothing of React; what it is told of is drawn with the next frame.
 */

import { HEIGHT, WIDTH, type Spot } from "./layout";
import { coloursOf, Painting, WORDS_SCALE, type Colours, type Shown } from "./painting";

const LEAST_SCALE = 0.02;
const MOST_SCALE = 2.5;
const STEP = 60;
const CLICK_DISTANCE = 5;
const MARGIN = 24;

export interface Told {
  onChoose: (spot: Spot) => void;
  /** Segments whose words would be on the screen and are not known. */
  onMissing: (segments: Set<string>) => void;
}

export class Drawing {
  private readonly context: CanvasRenderingContext2D;
  private readonly ending = new AbortController();
  private readonly watching: { disconnect(): void }[] = [];
  private shown: Shown | null = null;
  private colours: Colours | null = null;
  private scale = 1;
  private left = 0;
  private top = 0;
  private width = 0;
  private height = 0;
  private asked = 0;
  private placed = false;
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private moved = 0;
  private readonly fitted = new Map<string, string>();

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly told: Told,
  ) {
    this.context = canvas.getContext("2d")!;
    const signal = this.ending.signal;
    canvas.addEventListener("pointerdown", this.onDown, { signal });
    canvas.addEventListener("pointermove", this.onMove, { signal });
    canvas.addEventListener("pointerup", this.onUp, { signal });
    canvas.addEventListener("pointercancel", this.onCancel, { signal });
    canvas.addEventListener("wheel", this.onWheel, { signal, passive: false });
    canvas.addEventListener("keydown", this.onKey, { signal });
    const sizes = new ResizeObserver(() => this.resize());
    sizes.observe(canvas);
    const themes = new MutationObserver(() => this.recolour());
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.watching.push(sizes, themes);
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => this.recolour(), { signal });
    }
    this.resize();
  }

  end(): void {
    this.ending.abort();
    this.watching.forEach((one) => one.disconnect());
    cancelAnimationFrame(this.asked);
  }

  show(shown: Shown): void {
    this.shown = shown;
    if (!this.placed && this.width && shown.layout.spots.length) this.place();
    this.ask();
  }

  /** Shows all of it. */
  fit(): void {
    const bounds = this.shown?.layout.bounds;
    if (!bounds || !this.width) return;
    const across = this.width / (bounds.right - bounds.left + 2 * MARGIN);
    const down = this.height / (bounds.bottom - bounds.top + 2 * MARGIN);
    this.scale = Math.min(1, Math.max(Math.min(across, down), LEAST_SCALE));
    this.left = this.width / 2 - ((bounds.left + bounds.right) / 2) * this.scale;
    this.top = this.height / 2 - ((bounds.top + bounds.bottom) / 2) * this.scale;
    this.ask();
  }

  zoom(factor: number, x = this.width / 2, y = this.height / 2): void {
    const scale = Math.min(Math.max(this.scale * factor, LEAST_SCALE), MOST_SCALE);
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.ask();
  }

  /** Brings a message into view, if it is not there. */
  reveal(key: string): void {
    const spot = this.shown?.layout.byKey.get(key);
    if (!spot || !this.width) return;
    const x = spot.x * this.scale + this.left;
    const y = spot.y * this.scale + this.top;
    const [wide, high] = [(WIDTH / 2) * this.scale + MARGIN, (HEIGHT / 2) * this.scale + MARGIN];
    if (x > wide && x < this.width - wide && y > high && y < this.height - high) return;
    this.left += this.width / 2 - x;
    this.top += this.height / 2 - y;
    this.ask();
  }

  /** Begins with all of it where that can be read, else with the end of the lit path. */
  private place(): void {
    this.placed = true;
    this.fit();
    if (this.scale >= WORDS_SCALE) return;
    const { layout, lit } = this.shown!;
    const last = layout.spots.findLast((spot) => spot.depth <= (lit.get(spot.segment) ?? -1));
    this.scale = 0.85;
    const spot = last ?? layout.spots[0]!;
    this.left = this.width / 2 - spot.x * this.scale;
    this.top = this.height * 0.7 - spot.y * this.scale;
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.canvas;
    const density = devicePixelRatio || 1;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * density);
    this.canvas.height = Math.round(clientHeight * density);
    if (!this.placed && this.width && this.shown?.layout.spots.length) this.place();
    if (this.width) this.draw();
  }

  private recolour(): void {
    this.colours = null;
    this.ask();
  }

  private ask(): void {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.draw();
    });
  }

  // --- drawing

  private draw(): void {
    if (!this.shown || !this.width) return;
    const colours = (this.colours ??= coloursOf(this.canvas));
    const density = devicePixelRatio || 1;
    const context = this.context;
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const spots = this.onScreen();
    context.setTransform(density * this.scale, 0, 0, density * this.scale, density * this.left, density * this.top);
    const missing = new Painting(context, this.shown, this.scale, colours, this.fitted).paint(spots);
    if (missing.size) this.told.onMissing(missing);
  }

  /** Spots in view, and those just below it, whose lines come from there. */
  private onScreen(): Spot[] {
    const { spots } = this.shown!.layout;
    const top = (-this.top - HEIGHT) / this.scale - HEIGHT;
    const bottom = (this.height - this.top) / this.scale + 2 * HEIGHT;
    const left = -this.left / this.scale - WIDTH;
    const right = (this.width - this.left) / this.scale + WIDTH;
    const found: Spot[] = [];
    for (let index = firstBelow(spots, top); index < spots.length; index++) {
      const spot = spots[index]!;
      if (spot.y > bottom) break;
      const other = spot.parent?.x ?? spot.x;
      if (Math.max(spot.x, other) >= left && Math.min(spot.x, other) <= right) found.push(spot);
    }
    return found;
  }

  // --- hands

  private readonly onDown = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    if (!this.pointers.size) this.moved = 0;
    this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  };

  private readonly onMove = (event: PointerEvent): void => {
    const before = this.pointers.get(event.pointerId);
    const now = { x: event.offsetX, y: event.offsetY };
    if (!before) {
      this.canvas.classList.toggle("over", this.spotAt(now.x, now.y) !== null);
      return;
    }
    this.moved += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
    if (this.pointers.size === 1) {
      this.left += now.x - before.x;
      this.top += now.y - before.y;
    } else this.pinch(event.pointerId, before, now);
    this.pointers.set(event.pointerId, now);
    this.ask();
  };

  private pinch(id: number, before: { x: number; y: number }, now: { x: number; y: number }): void {
    const other = [...this.pointers].find(([one]) => one !== id)?.[1];
    if (!other) return;
    const was = Math.hypot(before.x - other.x, before.y - other.y);
    const is = Math.hypot(now.x - other.x, now.y - other.y);
    this.left += (now.x - before.x) / 2;
    this.top += (now.y - before.y) / 2;
    if (was > 0) this.zoom(is / was, (now.x + other.x) / 2, (now.y + other.y) / 2);
  }

  private readonly onUp = (event: PointerEvent): void => {
    if (!this.pointers.delete(event.pointerId) || this.moved > CLICK_DISTANCE) return;
    const spot = this.spotAt(event.offsetX, event.offsetY);
    if (spot) this.told.onChoose(spot);
  };

  private readonly onCancel = (event: PointerEvent): void => {
    this.pointers.delete(event.pointerId);
  };

  private readonly onWheel = (event: WheelEvent): void => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 24 : 1;
    if (event.ctrlKey || event.metaKey) {
      this.zoom(Math.exp(-event.deltaY * lines * 0.006), event.offsetX, event.offsetY);
      return;
    }
    this.left -= (event.shiftKey ? event.deltaY : event.deltaX) * lines;
    this.top -= event.shiftKey ? 0 : event.deltaY * lines;
    this.ask();
  };

  private readonly onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => (this.left += STEP),
      ArrowRight: () => (this.left -= STEP),
      ArrowUp: () => (this.top += STEP),
      ArrowDown: () => (this.top -= STEP),
      "+": () => this.zoom(1.25),
      "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8),
      "0": () => this.fit(),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
    this.ask();
  };

  private spotAt(x: number, y: number): Spot | null {
    const spots = this.shown?.layout.spots ?? [];
    const [across, down] = [(x - this.left) / this.scale, (y - this.top) / this.scale];
    const slack = this.scale < WORDS_SCALE ? 3 / this.scale : 0;
    for (let index = firstBelow(spots, down - HEIGHT / 2 - slack); index < spots.length; index++) {
      const spot = spots[index]!;
      if (spot.y - HEIGHT / 2 - slack > down) break;
      if (Math.abs(spot.x - across) <= WIDTH / 2 + slack) return spot;
    }
    return null;
  }
}

function firstBelow(spots: Spot[], y: number): number {
  let [low, high] = [0, spots.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spots[middle]!.y < y) low = middle + 1;
    else high = middle;
  }
  return low;
}
