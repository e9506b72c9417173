// Opens a page in headless Firefox: `node in_firefox.mjs JOB.json` prints what it saw, as JSON. It takes the files of
// the job by the page's function for the console, then one by the field of the page.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { classify } from "./in_page.mjs";

const require = createRequire(`${process.env.CAPSEDGE_WEB_TOOLS}/`);
const puppeteer = require("puppeteer-core");
const job = JSON.parse(readFileSync(process.argv[2], "utf-8"));

const browser = await puppeteer.launch({ browser: "firefox", executablePath: job.firefox, headless: true });
try {
  const page = await browser.newPage();
  const seen = { requests: [], errors: [] };
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("pageerror", (error) => seen.errors.push(error.message));
  await page.goto(job.url);
  await page.evaluate(() => globalThis.capsedge.ready);
  seen.classified = await page.evaluate(classify, job.files);
  await (await page.$("#file")).uploadFile(job.path);
  await page.waitForFunction(() => document.getElementById("status").textContent.includes("longest capsule"));
  const text = (selector) => page.$eval(selector, (element) => element.textContent);
  seen.status = await text("#status");
  seen.error = await text("#error");
  seen.isolated = await page.evaluate(() => crossOriginIsolated);
  seen.version = await browser.version();
  process.stdout.write(JSON.stringify(seen));
} finally {
  await browser.close();
}
