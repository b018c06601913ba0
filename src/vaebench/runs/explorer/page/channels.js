// The channels that are drawn as red, green and blue, or one channel alone in grey.

function setUpChannels() {
  byId("channels").hidden = !pageData.composite;
  if (!pageData.composite) return;
  const option = (value, name) => element("option", { value }, name);
  for (const id of ["red", "green", "blue"]) {
    byId(id).append(option(-1, "none"), ...pageData.channels.map((name, c) => option(c, name)));
    byId(id).onchange = () => showChannels({ colours: ["red", "green", "blue"].map((part) => Number(byId(part).value)), alone: -1 });
  }
  byId("alone").append(option(-1, "none: composite"), ...pageData.channels.map((name, c) => option(c, name)));
  byId("alone").onchange = () => showChannels({ ...state.channels, alone: Number(byId("alone").value) });
  paintChannelSelects();
}

function showChannels(channels) {
  state.channels = channels;
  paintChannelSelects();
  paint(byId("image"), shownImage.pixels);
  paintSource();
  paintSlots();
  paintStrips();
}

function paintChannelSelects() {
  const { colours, alone } = state.channels;
  ["red", "green", "blue"].forEach((id, c) => { byId(id).value = colours[c]; });
  byId("alone").value = alone;
}
