// Live parts and local times. Everything works without this file, by reloading.
"use strict";

function localTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
        const date = new Date(time.dateTime);
        if (!Number.isNaN(date.valueOf())) {
            time.title = time.dateTime;
            time.textContent = date.toLocaleString();
        }
    }
}

// Makes `from` like `to`, changing only what differs: a control that has the focus, or is being pressed, stays as it is.
function become(from, to) {
    if (from.nodeType === Node.TEXT_NODE) {
        if (from.data !== to.data) from.data = to.data;
        return;
    }
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
    for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    becomeChildren(from, to);
}

const classOf = (node) => node.getAttribute?.("class");

function becomeChildren(from, to) {
    const olds = [...from.childNodes];
    const news = [...to.childNodes];
    news.forEach((child, index) => {
        const old = olds[index];
        if (!old) from.append(child);
        else if (old.nodeName !== child.nodeName || classOf(old) !== classOf(child)) old.replaceWith(child);
        else if (old.nodeType !== Node.COMMENT_NODE) become(old, child);
    });
    for (const old of olds.slice(news.length)) old.remove();
}

// What waits for a person is seen in the title of a window that is not looked at.
function showTitle(element) {
    const title = element.querySelector("[data-title]")?.dataset.title;
    if (title && document.title !== title) document.title = title;
}

function follow(element) {
    showTitle(element);
    const offline = document.getElementById("offline");
    const events = new EventSource(element.dataset.live);
    events.addEventListener("open", () => { if (offline) offline.hidden = true; });
    events.addEventListener("error", () => {
        if (offline) offline.hidden = false;
        if (events.readyState === EventSource.CLOSED) setTimeout(() => follow(element), 3000);
    });
    events.addEventListener("live", (event) => {
        const fresh = document.createElement("template");
        fresh.innerHTML = event.data;
        localTimes(fresh.content);
        becomeChildren(element, fresh.content);
        showTitle(element);
    });
    events.addEventListener("gone", () => { events.close(); location.reload(); });
}

localTimes(document);
for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
}
// A scanner writes over what it read before.
document.querySelector("[data-scan]")?.select();
for (const element of document.querySelectorAll("[data-live]")) follow(element);
