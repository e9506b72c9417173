// Appended to the page's scripts: fits the images that a file lists, as the page does, and prints the inputs.
import { readFileSync } from "node:fs";
const results = [];
for (const { file, facts, invert } of JSON.parse(readFileSync(process.argv[2], "utf-8"))) {
  try {
    const image = await decodeImage(new Blob([Buffer.from(file, "base64")]));
    const { pixels, inverted } = fitted(image, facts, invert);
    const { input, usual } = facts.contract;
    const distance = usual ? distanceFrom(figuresOf(pixels, input), usual) : null;
    results.push({ pixels: Buffer.from(pixels).toString("base64"), inverted, distance });
  } catch (error) {
    results.push({ error: error.message });
  }
}
process.stdout.write(JSON.stringify(results));
