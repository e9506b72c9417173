// Drives a page in headless Chromium: `node in_browser.mjs JOB.json` prints what it saw, as JSON.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { classify } from "./in_page.mjs";

const require = createRequire(`${process.env.CAPSEDGE_WEB_TOOLS}/`);
const { chromium } = require("playwright-core");
const job = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const software = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--use-vulkan=swiftshader",
  "--enable-features=Vulkan",
  "--ignore-gpu-blocklist",
]; // a GPU in software

const browser = await chromium.launch({
  executablePath: job.chromium,
  args: ["--no-sandbox", ...(job.webgpu ? software : [])],
});
const context = await browser.newContext({
  colorScheme: job.dark ? "dark" : "light",
  viewport: { width: job.width ?? 1100, height: 900 },
  hasTouch: Boolean(job.touch),
  isMobile: Boolean(job.touch),
});
const page = await context.newPage();
if (job.without) await page.addInitScript((name) => delete globalThis[name], job.without);
const seen = { requests: [], errors: [], console: [] };
context.on("request", (request) => seen.requests.push(request.url()));
page.on("websocket", (socket) => seen.requests.push(socket.url()));
page.on("pageerror", (error) => seen.errors.push(error.message));
page.on("console", (message) => ["error", "warning"].includes(message.type()) && seen.console.push(message.text()));

const text = (selector) => page.textContent(selector);
// A page that is cut off has nothing to wait for.
const ready = () => page.evaluate(() => globalThis.capsedge?.ready);
const state = async () => ({ status: await text("#status"), error: await text("#error") });

/** Drop or paste a file of the job, or a text. */
async function transfer(kind, file) {
  await page.evaluate(
    ([kind, file]) => {
      const data = new DataTransfer();
      if (file === null) data.items.add("no image", "text/plain");
      else data.items.add(new File([Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0))], "image"));
      const event =
        kind === "drop"
          ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
          : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
      document.body.dispatchEvent(event);
    },
    [kind, file],
  );
}

const steps = {
  classify: ({ files }) => page.evaluate(classify, files),
  choose: async ({ path }) => {
    await page.setInputFiles("#file", path);
    await settled();
    return {
      ...(await state()),
      bars: await text("#bars"),
      notes: await text("#notes"),
      answer: await text("#answer"),
      note: await text("#backend-note"),
      hidden: await page.isHidden("#result"),
    };
  },
  invert: async ({ value }) => {
    await page.selectOption("#invert", value);
    await settled();
    return state();
  },
  breakTimers: () =>
    page.evaluate(() => {
      globalThis.setTimeout = () => {
        throw new Error("no timers here");
      };
    }),
  transfer: async ({ kind, file }) => {
    await transfer(kind, file);
    await settled();
    return state();
  },
  draw: async ({ lines }) => {
    const box = await page.locator("#paper").boundingBox();
    for (const line of lines) {
      const [[x, y], ...rest] = line.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
      await page.mouse.move(x, y);
      await page.mouse.down();
      for (const [x, y] of rest) await page.mouse.move(x, y, { steps: 5 });
      await page.mouse.up();
    }
    await settled();
    return {
      ...(await state()),
      notes: await text("#notes"),
      seen: await page.evaluate(() => {
        const canvas = document.getElementById("seen");
        return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data].filter(
          (_, place) => place % 4 === 0,
        );
      }),
    };
  },
  golden: async ({ place }) => {
    await page.click(`#golden button:nth-child(${place + 1})`);
    await settled();
    return { ...(await state()), shown: await page.locator("#reconstruction canvas").count() };
  },
  click: async ({ selector }) => {
    await page.click(selector);
    return page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  },
  visible: ({ selector }) => page.waitForSelector(selector, { timeout: 30_000 }).then((found) => found.textContent()),
  /** The elements that a person sees, by their labels or texts. */
  shown: ({ selector }) =>
    page
      .locator(selector)
      .evaluateAll((all) =>
        all
          // A closed select shows one of its options; each can be chosen.
          .filter((each) => (each.closest("select") ?? each).checkVisibility({ visibilityProperty: true }))
          .map((each) => each.getAttribute("aria-label") || each.textContent),
      ),
  measure: async () => {
    await page.click("#measure");
    await page.waitForFunction(
      () =>
        document.getElementById("status").textContent.startsWith("Median") ||
        document.getElementById("error").textContent,
      null,
      { timeout: 120_000 },
    );
    return {
      ...(await state()),
      latency: await text("#latency"),
      note: await text("#backend-note"),
      disabled: await page.isDisabled("#measure"),
    };
  },
  backend: async ({ name }) => {
    await page.evaluate((name) => capsedge.choose(name), name);
    return {
      ...(await state()),
      checks: await text("#checks"),
      note: await text("#backend-note"),
      chosen: await page.inputValue("#backend"),
    };
  },
  tabs: async ({ count }) => {
    const focused = [];
    await page.evaluate(() => document.activeElement.blur());
    for (let step = 0; step < count; step++) {
      await page.keyboard.press("Tab");
      focused.push(
        await page.evaluate(
          () =>
            document.activeElement.id ||
            document.activeElement.getAttribute("aria-label") ||
            document.activeElement.textContent,
        ),
      );
    }
    return focused;
  },
  axe: async () => {
    await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf-8"));
    const { violations, passes } = await page.evaluate(() => axe.run());
    return {
      passes: passes.length,
      violations: violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
    };
  },
  wide: () => page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]),
  screenshot: ({ path, full }) => page.screenshot({ path, fullPage: full ?? true }).then(() => path),
  facts: async () => ({
    title: await page.title(),
    isolated: await page.evaluate(() => crossOriginIsolated),
    checks: await text("#checks"),
    policy: await page.getAttribute("meta[http-equiv]", "content"),
    text: await text("main"),
    injected: await page.evaluate(() => Boolean(globalThis.injected)),
  }),
  forbidden: ({ url }) =>
    page.evaluate(
      (url) =>
        fetch(url).then(
          () => "sent",
          (error) => error.name,
        ),
      url,
    ),
};

/** Wait until all that the page was asked to do is done. */
async function settled() {
  await ready();
  await page.waitForFunction(
    () => !/^(Classifying|Loading|Measuring|Starting)/.test(document.getElementById("status").textContent),
  );
}

const results = [];
try {
  await page.goto(job.url);
  await ready();
  seen.start = await state();
  for (const step of job.steps) results.push(await steps[step.do](step));
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify({ ...seen, results }));
