/** A colour for each person: far enough from each other to survive a video codec. */
export const PALETTE = {
  Ada: [200, 40, 40],
  Bo: [40, 160, 60],
  Cy: [50, 70, 210],
  Dee: [225, 205, 40],
  Eli: [200, 50, 200],
  Fay: [40, 195, 205],
  Gus: [235, 125, 25],
  Hal: [235, 235, 235],
  Ida: [110, 110, 110],
  Jo: [80, 25, 110],
  "Ada's screen": [120, 80, 40],
  "Bo's screen": [150, 230, 160],
  "Cy's screen": [160, 180, 240],
};

export const NAMES = Object.keys(PALETTE).filter((name) => !name.includes(' '));
