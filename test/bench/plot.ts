/** Curves as a picture: four panels of an SVG, legible on white and on dark. Pure; the same curves give the same bytes. */
import type { Axis, Curve, Point } from "./curve.js";

const PANEL = { width: 420, height: 260 };
const MARGIN = { left: 64, right: 16, top: 34, bottom: 44 };
const LEGEND_LINE = 18;
/** Told apart also by those who see fewer colours (Okabe and Ito, and two more). */
const COLOURS = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#56b4e9",
  "#e69f00",
  "#000000",
  "#999999",
  "#882255",
];
const TICKS = 4;

interface Panel {
  readonly axis: Axis;
  readonly title: string;
  readonly unit: string;
  readonly value: (point: Point) => number;
}

const PANELS: readonly Panel[] = (["paths", "bytes"] as const).flatMap((axis) => [
  { axis, title: `Time by ${axis}`, unit: "s", value: ({ seconds }: Point) => seconds },
  { axis, title: `Memory by ${axis}`, unit: "MB", value: ({ peakMB }: Point) => peakMB },
]);

export function plotSvg(curves: readonly Curve[]): string {
  const legend = (axis: Axis) => curves.filter((curve) => curve.axis === axis).length * LEGEND_LINE;
  const rows = (["paths", "bytes"] as const).map((axis) => PANEL.height + legend(axis) + 12);
  const [first = 0, second = 0] = rows;
  const [width, height] = [2 * PANEL.width, first + second];
  const panels = PANELS.map((panel, i) => {
    const own = curves.filter(({ axis }) => axis === panel.axis);
    return `<g transform="translate(${(i % 2) * PANEL.width} ${i < 2 ? 0 : first})">${panelSvg(panel, own)}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    "<title>Time and memory by paths and by bytes</title>",
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...panels,
    "</svg>\n",
  ].join("\n");
}

function panelSvg({ axis, title, unit, value }: Panel, curves: readonly Curve[]): string {
  const points = curves.flatMap((curve) => curve.points);
  const maxX = niceAbove(Math.max(1, ...points.map(({ x }) => x)));
  const maxY = niceAbove(Math.max(0.001, ...points.map(value)));
  const [right, bottom] = [PANEL.width - MARGIN.right, PANEL.height - MARGIN.bottom];
  const atX = (x: number) => round(MARGIN.left + (x / maxX) * (right - MARGIN.left));
  const atY = (y: number) => round(bottom - (y / maxY) * (bottom - MARGIN.top));
  const ticks = Array.from({ length: TICKS + 1 }, (_, i) => i / TICKS);
  const lines = [
    `<text x="${MARGIN.left}" y="20" font-weight="bold">${title}</text>`,
    ...ticks.map(
      (part) =>
        `<path d="M${MARGIN.left} ${atY(part * maxY)}H${right}" stroke="#dddddd"/>` +
        `<text x="${MARGIN.left - 6}" y="${atY(part * maxY) + 4}" text-anchor="end">${label(part * maxY)}</text>` +
        `<text x="${atX(part * maxX)}" y="${bottom + 18}" text-anchor="middle">${label(part * maxX)}</text>`,
    ),
    `<text x="${MARGIN.left - 6}" y="20" text-anchor="end">${unit}</text>`,
    `<text x="${right}" y="${bottom + 36}" text-anchor="end">${axis}</text>`,
  ];
  for (const [i, curve] of curves.entries()) {
    const colour = COLOURS[i % COLOURS.length]!;
    const places = curve.points.map((point) => [atX(point.x), atY(value(point))] as const);
    const path = places.map(([x, y], n) => `${n === 0 ? "M" : "L"}${x} ${y}`).join("");
    const legendY = PANEL.height + (i + 0.5) * LEGEND_LINE;
    lines.push(
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ...places.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="3" fill="${colour}"/>`),
      `<path d="M${MARGIN.left} ${legendY}h20" stroke="${colour}" stroke-width="2"/>`,
      `<text x="${MARGIN.left + 28}" y="${legendY + 4}">${escaped(curve.name)}</text>`,
    );
  }
  return lines.join("\n");
}

/** The next of 1, 2, 2.5, 4, 5, 8, 10, at any power of ten. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 2.5, 4, 5, 8, 10].find((step) => step * power >= value) ?? 10);
}

function label(value: number): string {
  for (const [size, suffix] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const)
    if (value >= size) return `${round(value / size)}${suffix}`;
  return String(round(value));
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
