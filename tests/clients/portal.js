// The portal in a real browser: log in, create a job, watch it, cancel it, see the receipt, delete it; two customers;
// scripts in every text; a service that restarts; accessibility; pictures of each page.
"use strict";
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const { SERVER, OPERATOR, ONE, OTHER, CHROMIUM, PICTURES, RESTART, RESTARTED } = process.env;
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const alerts = [];

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

async function create(page, fields) {
    await page.goto(`${SERVER}/portal/new`);
    for (const [name, value] of Object.entries(fields)) {
        const field = page.locator(`[name="${name}"]`);
        if (await field.evaluate((one) => one.tagName) === "SELECT") await field.selectOption(value);
        else await field.fill(value);
    }
    await page.click("text=Create the job");
}

async function ship(page, texts = {}) {
    await page.click("a:has-text('Ship')");
    const fields = { carrierName: "FedEx", trackingNumber: "T-1", driveCount: "1", recipientName: "R", streetAddress1: "S",
        postalCode: "1", city: "C", stateOrProvince: "", countryOrRegion: "X", phone: "1", email: "a@example.com", ...texts };
    for (const [name, value] of Object.entries(fields)) await page.fill(`[name="${name}"]`, value);
    await page.click("text=The drives are on their way");
}

async function picture(page, name) {
    for (const scheme of ["light", "dark"]) {
        for (const width of [1280, 768]) {
            await page.emulateMedia({ colorScheme: scheme });
            await page.setViewportSize({ width, height: 800 });
            await page.screenshot({ path: path.join(PICTURES, `${name}-${scheme}-${width}.png`) });
        }
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 800 });
}

async function wholeJob(browser) {
    const customer = await logIn(browser, ONE);
    await create(customer, { jobName: "x", driveList: "" });
    assert.strictEqual(await customer.inputValue("[name=jobName]"), "x", "nothing typed is lost");
    assert.strictEqual(await customer.locator(".problem").count(), 2);
    await accessible(customer);
    await picture(customer, "new-with-problems");
    await create(customer, { jobName: "watched", subscription: "one", driveList: "SLOW-1" });
    await customer.waitForSelector(".badge.Creating");
    await ship(customer, { email: "" });
    assert.ok(await customer.locator("#email-problem").count(), "the problem stands beside its field");
    await customer.fill("[name=email]", "a@example.com");
    await customer.click("text=The drives are on their way");
    // The bay is watched: it begins by itself, and moves before one's eyes.
    await customer.waitForSelector(".state .badge.Transferring");
    const percent = async () => Number(await customer.locator("article progress").getAttribute("value"));
    await customer.waitForFunction(() => Number(document.querySelector("article progress")?.getAttribute("value")) >= 3);
    const before = await percent();
    await customer.waitForFunction((seen) => Number(document.querySelector("article progress").getAttribute("value")) > seen, before);
    await accessible(customer);
    await picture(customer, "job-copying");
    const operator = await logIn(browser, OPERATOR);
    await operator.waitForSelector(".card.copying");
    await accessible(operator);
    await picture(operator, "bays");
    // Cancel, as it is.
    await customer.click("a:has-text('Cancel')");
    await customer.waitForSelector("text=A cancel is best effort");
    await accessible(customer);
    await picture(customer, "cancel");
    await customer.click("button:has-text('Cancel the job')");
    await customer.waitForSelector(".state .badge.Packaging");
    await customer.waitForSelector("svg.bar");
    const receipt = await customer.locator("article .numbers dd").allTextContents();
    const bytes = receipt.map((text) => Number(/\((\d+) bytes\)/.exec(text)[1]));
    assert.strictEqual(bytes.reduce((one, other) => one + other), 512 << 20, "every byte is in one class");
    await accessible(customer);
    await picture(customer, "job-cancelled");
    const [download] = await Promise.all([customer.waitForEvent("download"), customer.click("text=Download the receipts")]);
    const document = JSON.parse(fs.readFileSync(await download.path(), "utf8"));
    assert.strictEqual(document.drives[0].result.receipt.landed_before_request.bytes, bytes[0]);
    assert.strictEqual(await customer.locator("text=Send the drives back").count(), 0, "that is for operators");
    assert.strictEqual(await customer.locator("button:has-text('Delete')").count(), 0, "not before it is over");
    // Staff send it back, and the customer's page knows.
    await operator.click("a:has-text('watched')");
    await operator.waitForSelector("text=Where the time went");
    await accessible(operator);
    await picture(operator, "job-operator");
    await operator.click("a:has-text('Send the drives back')");
    await operator.fill("[name=carrierName]", "FedEx");
    await operator.fill("[name=trackingNumber]", "B-1");
    await operator.click("text=They went back");
    await customer.waitForSelector(".state .badge.Completed");
    await customer.click("button:has-text('Delete')");
    await customer.waitForURL(/portal\/jobs$/);
    assert.strictEqual(await customer.locator("text=watched").count(), 0, "the job is gone");
    await operator.waitForFunction(() => document.body.textContent.includes("there is no job") || !document.querySelector("[data-live]"));
    await operator.context().close();
    return customer;
}

async function others(browser, customer) {
    const other = await logIn(browser, OTHER);
    await create(other, { jobName: "secret", subscription: "other", driveList: "S-1" });
    await other.waitForSelector(".badge.Creating");
    const own = other.url();
    for (const address of [own, own.replace("/job/", "/events/job/"), `${own}/receipts.json`, `${own}/cancel`]) {
        const answer = await customer.goto(address);
        assert.strictEqual(answer.status(), 404, address);
        assert.ok(!(await customer.content()).includes("S-1"));
    }
    const bays = await customer.goto(`${SERVER}/portal/bays`);
    assert.strictEqual(bays.status(), 403);
    // A form of another site has not the page's secret.
    const forged = await customer.request.post(`${own}/do/cancel`, { form: { csrf: "guess" }, maxRedirects: 0 });
    assert.strictEqual(forged.status(), 403);
    const cookies = await other.context().cookies();
    assert.ok(cookies[0].httpOnly && cookies[0].sameSite === "Strict", JSON.stringify(cookies));
    await other.click("text=Log out");
    await other.waitForURL(/login/);
    await other.goto(own);
    assert.ok(other.url().endsWith("/portal/login"), "a session that was ended is none");
}

async function scripts(browser) {
    const page = await logIn(browser, ONE);
    const evil = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"";
    await create(page, { jobName: evil, subscription: "one", resourceGroup: evil, driveList: evil, blobPath: evil, blobPathPrefix: evil });
    assert.strictEqual(await page.inputValue("[name=jobName]"), evil);
    await create(page, { jobName: "evil", subscription: "one", resourceGroup: evil.replaceAll("/", ""), driveList: "E-1" });
    await page.waitForSelector(".badge.Creating");
    const texts = Object.fromEntries(["carrierName", "trackingNumber", "recipientName", "streetAddress1", "postalCode", "city",
        "stateOrProvince", "countryOrRegion", "phone", "email"].map((name) => [name, evil]));
    await ship(page, texts);
    await page.waitForSelector(".badge.Shipping");
    assert.ok((await page.locator("main").textContent()).includes(evil), "it is text");
    await page.goto(`${SERVER}/portal/jobs`);
    await page.waitForSelector("text=evil");
    await page.fill("#search", "EVI");
    await page.click("text=Search");
    await page.waitForSelector("text=evil");
    await page.fill("#search", "%");
    await page.click("text=Search");
    await page.waitForSelector("text=No jobs here");
    await page.goto(`${SERVER}/portal/jobs?state=Shipping`);
    await page.waitForSelector("text=evil");
    await accessible(page);
    await picture(page, "jobs");
    assert.strictEqual(await page.locator("main img, main script").count(), 0);
    assert.deepStrictEqual(alerts, []);
}

async function restart(browser) {
    const page = await logIn(browser, OPERATOR);
    fs.writeFileSync(RESTART, "now");
    await page.waitForSelector("#offline:not([hidden])");
    while (!fs.existsSync(RESTARTED)) await new Promise((resolve) => setTimeout(resolve, 50));
    await page.waitForFunction(() => document.getElementById("offline").hidden);
    await page.reload();
    await page.waitForSelector(".cards");
}

async function main() {
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    const login = await (await browser.newContext()).newPage();
    await login.goto(`${SERVER}/portal/login`);
    await accessible(login);
    await picture(login, "login");
    await login.fill("#token", "wrong");
    await login.click("main button");
    await login.waitForSelector("[role=alert]");
    const customer = await wholeJob(browser);
    await others(browser, customer);
    await scripts(browser);
    await restart(browser);
    await browser.close();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
