/**
 * Drawn people for the camera. These functions run in the page, sent there as text, in the order in which they stand here; they meet in
 * `window.brush`. `look` gives colours as CSS, and `hair` and `decor` one of a few kinds.
 */
/** Simple shapes. */
export function installBrush() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
  const context = canvas.getContext('2d', { willReadFrequently: true });

  function fill(colour, draw) {
    context.fillStyle = colour;
    context.beginPath();
    draw();
    context.fill();
  }

  function line(colour, lineWidth, draw) {
    Object.assign(context, { strokeStyle: colour, lineWidth, lineCap: 'round' });
    context.beginPath();
    draw();
    context.stroke();
  }

  const ellipse = (colour, x, y, rx, ry, turn = 0) => fill(colour, () => context.ellipse(x, y, rx, ry, turn, 0, 2 * Math.PI));
  const box = (colour, x, y, w, h, radius) => fill(colour, () => context.roundRect(x, y, w, h, radius));
  window.brush = { canvas, context, fill, line, ellipse, box };
}

/** The room behind somebody: out of focus. */
export function installWall(look) {
  const { context, fill, ellipse, box } = window.brush;

  const decors = {
    window() {
      box('#ffffff59', 150, 60, 330, 400, 14);
      box(look.sky, 166, 76, 298, 368, 8);
      box('#ffffff8c', 308, 76, 12, 368, 0);
      ellipse(look.leaf, 1110, 470, 36, 130, 0.35);
      ellipse(look.leaf, 1060, 450, 34, 140, -0.2);
      ellipse(look.leaf, 1150, 520, 32, 120, 0.8);
      box('#b5683f', 1030, 560, 140, 160, 18);
    },
    shelf() {
      for (const y of [250, 520]) {
        box('#00000030', 60, y, 420, 16, 4);
        box('#00000030', 830, y, 400, 16, 4);
      }
      const books = ['#c8553d', '#f2c14e', '#588b8b', '#e9e3d5', '#2f4858', '#f28f3b'];
      for (const [x, y] of [[80, 250], [840, 250], [80, 520], [960, 520]]) {
        books.forEach((colour, i) => box(colour, x + i * 40, y - 120 - ((i * 37) % 50), 32, 120 + ((i * 37) % 50), 4));
      }
    },
    lamp() {
      ellipse('#ffe9b04d', 1040, 230, 240, 240);
      ellipse('#ffe9b066', 1040, 230, 140, 140);
      fill('#fff3cf', () => context.roundRect(965, 150, 150, 120, [60, 60, 14, 14]));
      box('#3a2c22', 1034, 270, 12, 450, 0);
      box('#ffffff2e', 130, 110, 300, 220, 10);
      ellipse('#ffffff33', 280, 220, 70, 70);
    },
    plants() {
      for (const [x, turn] of [[120, -0.5], [190, 0], [260, 0.5], [1060, -0.4], [1130, 0.1], [1200, 0.6]]) ellipse(look.leaf, x, 420, 44, 190, turn);
      box('#efe3d0', 110, 560, 160, 170, 20);
      box('#efe3d0', 1050, 560, 160, 170, 20);
    },
  };

  function wall() {
    const gradient = context.createLinearGradient(0, 0, 1280, 720);
    look.wall.forEach((colour, i) => gradient.addColorStop(i, colour));
    context.fillStyle = gradient;
    context.fillRect(0, 0, 1280, 720);
    context.filter = 'blur(7px)';
    decors[look.decor]();
    context.filter = 'none';
  }

  Object.assign(window.brush, { wall });
}

/** The hair behind and above a face. */
export function installHair(look) {
  const { context, fill, ellipse } = window.brush;

  const back = {
    long: () => fill(look.hairColour, () => context.roundRect(478, 190, 324, 440, [160, 160, 90, 90])),
    bun: () => ellipse(look.hairColour, 640, 148, 74, 70),
    short() {},
    curly: () => [[520, 300], [500, 390], [760, 300], [780, 390], [540, 220], [740, 220]].forEach(([x, y]) => ellipse(look.hairColour, x, y, 78, 82)),
  }[look.hair];

  function fringe() {
    fill(look.hairColour, () => {
      context.moveTo(506, 350);
      context.bezierCurveTo(486, 138, 794, 138, 774, 350);
      context.bezierCurveTo(760, 290, 730, 262, look.part, 258);
      context.bezierCurveTo(570, 266, 525, 290, 506, 350);
    });
  }

  Object.assign(window.brush, { back, fringe });
}

/** Head and shoulders. */
export function installPerson(look) {
  const { context, fill, line, ellipse, box, back, fringe } = window.brush;

  function face() {
    for (const x of [592, 688]) {
      ellipse('#fff', x, 352, 17, 12);
      ellipse('#2a1d17', x, 353, 10, 10.5);
      ellipse('#fff', x + 3, 349, 3, 3);
      line(look.hairColour, 7, () => context.arc(x, 352, 34, -2.2, -0.94));
    }
    line('#0000002b', 6, () => context.arc(640, 392, 13, 0.4, 2.7));
    ellipse('#e0606033', 566, 408, 26, 16);
    ellipse('#e0606033', 714, 408, 26, 16);
    fill('#fff', () => {
      context.moveTo(602, 430);
      context.quadraticCurveTo(640, 484, 678, 430);
      context.quadraticCurveTo(640, 444, 602, 430);
    });
  }

  function glasses() {
    for (const x of [590, 690]) line('#23262d', 6, () => context.roundRect(x - 40, 322, 80, 62, 26));
    line('#23262d', 6, () => {
      context.moveTo(630, 346);
      context.lineTo(650, 346);
    });
  }

  function person() {
    back();
    box(look.shade, 586, 440, 108, 150, 50);
    fill(look.shirt, () => {
      context.moveTo(300, 740);
      context.bezierCurveTo(310, 590, 470, 570, 574, 552);
      context.quadraticCurveTo(640, 610, 706, 552);
      context.bezierCurveTo(810, 570, 970, 590, 980, 740);
    });
    for (const x of [512, 768]) ellipse(look.shade, x, 368, 22, 34);
    ellipse(look.skin, 640, 355, 130, 158);
    fringe();
    face();
    if (look.glasses) glasses();
  }

  Object.assign(window.brush, { person });
}

/** The camera shows what was drawn, and moves a little. */
export function installPortrait() {
  const { canvas, context, wall, person } = window.brush;
  const { mediaDevices } = navigator;
  const ask = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = async ({ audio, video }) => {
    const sound = audio ? (await ask({ audio })).getTracks() : [];
    if (!video) return new MediaStream(sound);
    wall();
    // The wall is costly, and stands still.
    const behind = await createImageBitmap(canvas);
    let step = 0;
    const paint = () => {
      context.drawImage(behind, 0, 0);
      context.setTransform(1, 0, 0, 1, 4 * Math.sin(step++ / 9), 0);
      person();
      context.resetTransform();
    };
    paint();
    setInterval(paint, 200);
    return new MediaStream([...sound, ...canvas.captureStream(5).getTracks()]);
  };
}
