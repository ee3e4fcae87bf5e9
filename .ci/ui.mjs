#!/usr/bin/env node
// Drives the web interface with a real browser, against a host of its own:
//   ui.mjs HOST PLUGINS PLAYWRIGHT CHROMIUM [IMAGES]
// HOST is the program, with its bundled plugins; PLUGINS a folder with the starred plugin of the examples, PLAYWRIGHT one in
// which playwright-core is installed. Pictures of the pages go to the folder IMAGES: those of the manual, docs/manual/images.
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PATIENCE, check, closeTab, drive, open, openService, paths, picture, run, scratch, section, serve, signIn } from "./ui-browser.mjs";

const [host, plugins, playwright, chromium, images] = paths("ui.mjs HOST PLUGINS PLAYWRIGHT CHROMIUM [IMAGES]", 4);
const demo = fileURLToPath(new URL("../examples/demo-library", import.meta.url));
// A service that all browsers of this test know.
const SERVICE = "https://service.example";
const STARS = 300;

const folder = scratch();

function configured() {
  const file = join(folder, "zotify.toml");
  run(host, ["config", "init", "--music", demo, file]);
  const titles = JSON.stringify(Array.from({ length: STARS }, (_, n) => `Star ${n}`));
  appendFileSync(file, `\n[providers.stars]\nplugin = "starred"\nsettings = { titles = ${titles}, saved = ${STARS} }\n`);
  return file;
}

const playing = (page) => page.evaluate(() => {
  const { currentTime, paused, readyState } = document.getElementById("player-audio");
  return { currentTime, paused, readyState };
});

async function refused(page) {
  await page.goto(`${base}/`);
  await page.waitForURL(/\/ui\/sign-in$/);
  await check(page);
  await page.getByLabel("Name").fill("admin");
  await page.getByLabel("Password").fill("certainly not this one");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").filter({ hasText: "the name or the password is wrong" }).waitFor();
}

async function search(page) {
  await section(page, "Search").click();
  await page.waitForURL(`${base}/ui/search`);
  // The focus follows.
  await page.waitForFunction(() => document.activeElement.tagName === "H1");
  await page.getByLabel("Words").fill("test tones");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Play Sawtooth Serenade" }).click();
  await page.waitForFunction(() => document.getElementById("player-audio").currentTime > 0, null, { timeout: PATIENCE });
  assert.equal(await page.locator("#player-problem").isVisible(), false);
  await picture(page, images, "search");
  const before = await playing(page);
  assert(before.readyState >= 2, JSON.stringify(before));
}

async function playsOn(page) {
  // The player belongs to no page: an element that was made anew would have another mark.
  await page.evaluate(() => { document.getElementById("player-audio").mark = "same"; });
  await section(page, "Playlists").click();
  await page.waitForURL(`${base}/ui/playlists`);
  await page.locator(".rows a").first().click();
  await page.locator("a[data-play]").first().waitFor();
  await check(page);
  await page.goBack();
  await page.getByRole("heading", { name: "Playlists", exact: true }).waitFor();
  assert.equal(await page.evaluate(() => document.getElementById("player-audio").mark), "same");
  assert.equal(await page.locator("#player").isVisible(), true);
}

// The first page of a new flow.
async function startFlow(page) {
  await section(page, "Home").click();
  await page.getByRole("link", { name: "Connect an account" }).click();
  await page.getByRole("button", { name: "Connect Starred" }).waitFor();
  await check(page);
  await page.getByRole("button", { name: "Connect Starred" }).click();
  await page.getByLabel("Password").waitFor();
}

async function fillIn(page) {
  await page.getByLabel("Name", { exact: true }).fill("A");
  await page.getByLabel("Password").fill("sesame");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.locator("[aria-invalid=true]").waitFor();
  await check(page);
  await page.getByLabel("Name", { exact: true }).fill("anna");
  await page.getByLabel("Password").fill("sesame");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("link", { name: "Open the service" }).waitFor();
  await check(page);
}

// A visit to the service; answers the tab, which came back to the host's own page.
async function visit(page) {
  const tab = await openService(page);
  await tab.getByRole("link", { name: "Allow" }).click();
  await tab.waitForURL(`${base}/api/auth/stars/callback?*`);
  return tab;
}

async function connected(page) {
  await page.getByText("WXYZ").waitFor();
  await page.getByText("The account is connected").waitFor({ timeout: PATIENCE });
  await check(page);
}

async function connect(page) {
  await startFlow(page);
  await fillIn(page);
  const tab = await visit(page);
  await tab.getByRole("button", { name: "Link to admin" }).click();
  await tab.getByRole("heading", { name: "One more step" }).waitFor();
  await closeTab(tab, page);
  await connected(page);
}

// Stops or continues the plugins' processes, so that a job takes as long as it is looked at.
function signal(name) {
  const threads = readdirSync(`/proc/${child.pid}/task`);
  const read = (thread) => readFileSync(`/proc/${child.pid}/task/${thread}/children`, "utf8").split(" ");
  const pids = threads.flatMap(read).filter(Boolean).map(Number);
  assert(pids.length >= 2, `processes of plugins: ${pids}`);
  for (const pid of pids) process.kill(pid, name);
}

async function watchJob(page) {
  await section(page, "Home").click();
  await page.getByText(`${STARS} tracks`).waitFor();
  await page.setViewportSize({ width: 960, height: 960 });
  await picture(page, images, "home");
  await page.setViewportSize({ width: 960, height: 640 });
  signal("SIGSTOP");
  await page.getByRole("button", { name: "Sync now anna at the stars" }).click();
  await page.getByText("It is being read now").waitFor();
  await section(page, "Jobs").click();
  await page.waitForURL(`${base}/ui/jobs`);
  const row = page.getByRole("row").filter({ hasText: "stars" }).first();
  await row.getByText("running").waitFor();
  await check(page);
  await page.evaluate(() => { document.body.mark = "same"; });
  signal("SIGCONT");
  await row.getByText("succeeded").waitFor();
  assert.equal(await page.evaluate(() => document.body.mark), "same", "the page follows by itself");
  await section(page, "Home").click();
}

async function againAndUnlink(page) {
  await page.getByRole("link", { name: "anna at the stars" }).click();
  await page.getByRole("button", { name: "Sign in again" }).waitFor();
  await check(page);
  await page.getByRole("button", { name: "Sign in again" }).click();
  await page.getByLabel("Password").waitFor();
  await fillIn(page);
  const tab = await visit(page);
  // As where the host can't be reached under the address that the service knows.
  await page.getByLabel("Address that your browser ended at").fill(tab.url());
  await closeTab(tab, page);
  await page.getByRole("button", { name: "Go on" }).click();
  await connected(page);
  await page.getByRole("link", { name: "See the account" }).click();
  await page.getByRole("link", { name: "Unlink" }).click();
  await page.getByRole("button", { name: "Unlink it" }).waitFor();
  await check(page);
  await page.getByRole("button", { name: "Unlink it" }).click();
  await page.waitForURL(`${base}/ui`);
  assert.equal(await page.getByText("anna at the stars").count(), 0);
}

async function onPhones(page) {
  await page.setViewportSize({ width: 360, height: 720 });
  await page.emulateMedia({ colorScheme: "dark" });
  for (const path of ["/ui", "/ui/search?q=a", "/ui/jobs", "/ui/playlists", "/ui/connect", "/ui/password"]) {
    await page.goto(base + path);
    await check(page);
  }
  await page.goto(`${base}/ui/search?q=tones`);
  await picture(page, images, "phone");
}

async function withoutScripts(browser, cookies) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  await context.addCookies(cookies);
  const page = await context.newPage();
  await page.goto(`${base}/ui`);
  await page.getByRole("button", { name: /^Sync now/ }).first().click();
  await section(page, "Search").click();
  await page.getByLabel("Words").fill("sawtooth");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByRole("link", { name: "Play Sawtooth Serenade" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(`${base}/ui/sign-in`);
  await context.close();
}

async function everything(browser) {
  const faults = [];
  const context = await open(browser, [base, SERVICE], faults);
  await context.route(`${SERVICE}/**`, (route) => {
    const asked = new URL(route.request().url()).searchParams;
    const back = `${asked.get("redirect_uri")}?code=anna&state=${asked.get("state")}`;
    return route.fulfill({ contentType: "text/html", body: `<a href="${back}">Allow</a>` });
  });
  const page = await context.newPage();
  await refused(page);
  await signIn(page, base, "admin", readFileSync(join(folder, "data/admin-password"), "utf8").trim());
  await page.getByRole("heading", { name: "Local files" }).waitFor();
  await search(page);
  await playsOn(page);
  await connect(page);
  await watchJob(page);
  await againAndUnlink(page);
  await onPhones(page);
  await withoutScripts(browser, await context.cookies());
  assert.deepEqual(faults, []);
  console.log("the web interface works in a browser");
}

const program = await serve(host, configured(), { ZOTIFY__PLUGINS__DIRECTORIES: JSON.stringify([plugins]) });
const { base, child } = program;
await drive(playwright, chromium, [program], everything);
