// A sheet to draw on: dark ink on white paper, with a mouse, a pen or a finger.

const INK = 0.07; // width of the line, as a share of the sheet

class Paper {
  /**
   * canvas: The sheet.
   * drawn: Called after each line.
   */
  constructor(canvas, drawn) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.last = this.place(event);
      this.line(event);
    });
    canvas.addEventListener("pointermove", (event) => this.last && this.line(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        if (this.last) drawn();
        this.last = null;
      });
    }
  }

  clear() {
    this.context.fillStyle = "white";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.last = null;
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * this.canvas.width) / box.width,
      ((event.clientY - box.top) * this.canvas.height) / box.height,
    ];
  }

  line(event) {
    const next = this.place(event);
    Object.assign(this.context, {
      lineWidth: INK * this.canvas.width,
      lineCap: "round",
      lineJoin: "round",
      strokeStyle: "black",
    });
    this.context.beginPath();
    this.context.moveTo(...this.last);
    this.context.lineTo(...next);
    this.context.stroke();
    this.last = next;
  }
}
