/** Places tiles in a space so that they are as large as can be. Pure; measures in CSS pixels. */

export interface Size {
  width: number;
  height: number;
}

export interface Rect extends Size {
  left: number;
  top: number;
}

export interface GridOptions {
  gap: number;
  /** The narrowest and the widest shape of a tile, as width divided by height. */
  aspectMin: number;
  aspectMax: number;
}

/** Flexible rather than one fixed shape: nine tiles in an ordinary window use 96 % of it instead of 85 %. */
export const WIDE: GridOptions = { gap: 8, aspectMin: 4 / 3, aspectMax: 16 / 9 };
/** An upright phone: tiles may stand upright too. */
export const UPRIGHT: GridOptions = { ...WIDE, aspectMin: 3 / 4 };

/** One rectangle for each tile, row by row; shorter rows stand in the middle. */
export function layoutGrid(count: number, space: Size, options: GridOptions = WIDE): Rect[] {
  if (count <= 0 || space.width <= 0 || space.height <= 0) return [];
  const { tile, columns } = bestTile(count, space, options);
  const rows = spreadRows(count, columns);
  const top = (space.height - extent(rows.length, tile.height, options.gap)) / 2;
  return rows.flatMap((inRow, row) => {
    const left = (space.width - extent(inRow, tile.width, options.gap)) / 2;
    return Array.from({ length: inRow }, (_, column) => ({
      left: left + column * (tile.width + options.gap),
      top: top + row * (tile.height + options.gap),
      ...tile,
    }));
  });
}

/** The width or height of the strip beside a stage. */
function stripSize(space: Size): number {
  return isWide(space) ? Math.min(240, Math.max(140, space.width * 0.18)) : 96;
}

/** The first rectangle is the stage, large; the others stand in a strip: beside it where the space is wide, below it where it is not. */
export function layoutStage(count: number, space: Size, gap = WIDE.gap): Rect[] {
  if (count <= 0 || space.width <= 0 || space.height <= 0) return [];
  if (count === 1) return [{ left: 0, top: 0, ...space }];
  const strip = stripSize(space);
  const inStrip = count - 1;
  if (isWide(space)) {
    const height = Math.min((strip * 9) / 16, (space.height - gap * (inStrip - 1)) / inStrip);
    const top = (space.height - extent(inStrip, height, gap)) / 2;
    const left = space.width - strip;
    const rest = Array.from({ length: inStrip }, (_, i) => ({ left, top: top + i * (height + gap), width: strip, height }));
    return [{ left: 0, top: 0, width: left - gap, height: space.height }, ...rest];
  }
  const width = Math.min((strip * 4) / 3, (space.width - gap * (inStrip - 1)) / inStrip);
  const left = (space.width - extent(inStrip, width, gap)) / 2;
  const top = space.height - strip;
  const rest = Array.from({ length: inStrip }, (_, i) => ({ left: left + i * (width + gap), top, width, height: strip }));
  return [{ left: 0, top: 0, width: space.width, height: top - gap }, ...rest];
}

/** How many tiles of a readable size fit in the strip. */
export function stripCapacity(space: Size, gap = WIDE.gap): number {
  const [length, tile] = isWide(space) ? [space.height, 78] : [space.width, 84];
  return Math.max(1, Math.floor((length + gap) / (tile + gap)));
}

function isWide({ width, height }: Size): boolean {
  return width > height * 1.1;
}

/** How many tiles of at least the given size fit. */
export function capacity(space: Size, smallest: Size, gap: number): number {
  const along = (length: number, tile: number) => Math.floor((length + gap) / (tile + gap));
  return Math.max(1, along(space.width, smallest.width) * along(space.height, smallest.height));
}

/** How many tiles stand in each row: as even as can be, the fuller rows in the middle (7 in rows of 3: 2, 3, 2). */
export function spreadRows(count: number, columns: number): number[] {
  const rows = Math.ceil(count / columns);
  const least = Math.floor(count / rows);
  const fuller = count - least * rows;
  const firstFuller = Math.floor((rows - fuller) / 2);
  return Array.from({ length: rows }, (_, row) => least + (row >= firstFuller && row < firstFuller + fuller ? 1 : 0));
}

function bestTile(count: number, space: Size, options: GridOptions): { tile: Size; columns: number } {
  let best = { tile: { width: 0, height: 0 }, columns: 1 };
  for (let columns = 1; columns <= count; columns++) {
    const tile = tileSize(columns, Math.ceil(count / columns), space, options);
    if (tile.width * tile.height > best.tile.width * best.tile.height) best = { tile, columns };
  }
  return best;
}

function tileSize(columns: number, rows: number, space: Size, { gap, aspectMin, aspectMax }: GridOptions): Size {
  const width = (space.width - gap * (columns - 1)) / columns;
  const height = (space.height - gap * (rows - 1)) / rows;
  if (width <= 0 || height <= 0) return { width: 0, height: 0 };
  const aspect = Math.min(aspectMax, Math.max(aspectMin, width / height));
  return width / height > aspect ? { width: height * aspect, height } : { width, height: width / aspect };
}

function extent(count: number, size: number, gap: number): number {
  return count * size + (count - 1) * gap;
}
