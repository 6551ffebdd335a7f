// What scripts that look at the portal in a real browser have in common: logging in, filling in forms, and what every page has to
// be: accessible, no wider than a phone, and without scripts of others.
"use strict";
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const { SERVER, CHROMIUM, PICTURES } = process.env;
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// What pages said that they should not say: dialogs, and what the policy of the page forbade.
const alerts = [];

function launch() {
    return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
}

async function logIn(browser, token, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(30000);
    page.on("dialog", (dialog) => { alerts.push(dialog.message()); dialog.dismiss(); });
    page.on("console", (message) => {
        if (message.type() === "error" && /Content Security Policy/.test(message.text())) alerts.push(message.text());
    });
    await page.goto(`${SERVER}/`);
    await page.fill("#token", token);
    await page.click("main button");
    await page.waitForURL(/portal\/(bays|jobs)$/);
    return page;
}

async function accessible(page) {
    // Scripts of the page are the page's own: the checker comes from outside.
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => axe.run());
    assert.deepStrictEqual(violations.map((one) => `${one.id}: ${one.nodes[0].html}`), [], page.url());
}

async function fill(page, fields) {
    for (const [name, value] of Object.entries(fields)) {
        const field = page.locator(`[name="${name}"]`);
        if (await field.evaluate((one) => one.tagName) === "SELECT") await field.selectOption(value);
        else await field.fill(value);
    }
}

// Fills in the form of a new job and looks it over; creates the job where nothing is wrong.
async function create(page, { jobType = "Import", ...fields }) {
    await page.goto(`${SERVER}/portal/new?type=${jobType}`);
    await fill(page, fields);
    await page.click("text=Look it over");
    if (await page.locator("h1:text-is('Is this right?')").count()) await page.click("text=Create the job");
}

async function ship(page, texts = {}) {
    await page.click("a:has-text('Ship')");
    await fill(page, { carrierName: "FedEx", trackingNumber: "T-1", driveCount: "1", recipientName: "R", streetAddress1: "S",
        postalCode: "1", city: "C", stateOrProvince: "", countryOrRegion: "X", phone: "1", email: "a@example.com", ...texts });
    await page.click("text=The drives are on their way");
}

// No page is wider than a phone.
async function fits(page, width) {
    await page.setViewportSize({ width, height: 800 });
    const found = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(found <= width, `${page.url()} is ${found} pixels wide in a window of ${width}`);
}

// Parts of a page that would have to be pushed aside to be read.
function pushed(page) {
    return page.evaluate(() => [...document.querySelectorAll("main *")]
        .filter((one) => one.scrollWidth > one.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(one).overflowX))
        .map((one) => one.outerHTML.slice(0, 200)));
}

async function screenshot(page, name, options = {}) {
    await page.screenshot({ path: path.join(PICTURES, `${name}.png`), ...options });
}

module.exports = { SERVER, alerts, launch, logIn, accessible, fill, create, ship, fits, pushed, screenshot };
