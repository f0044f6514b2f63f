// Sensors, and images, that change over time, with the controls for it; needs clusters.js.
function stvlmPlayer(map, data) {
  var step = data.start, timer = null, last = data.times.length - 1, shown = data.values;

  var picture = null;
  if (data.images.length) { picture = L.imageOverlay(data.images[step], data.imageBounds, {pane: 'image'}).addTo(map); }
  var dots = stvlmDots(Object.assign({}, data, {values: shown[step]}));
  dots.layer.addTo(map);

  function part(parent, tag, label) {
    var made = L.DomUtil.create(tag, '', parent);
    if (label) { made.setAttribute('aria-label', label); }
    return made;
  }
  var control = L.control({position: 'bottomright'}), button, speed, slider, clock;
  function show(next) {
    step = next;
    if (picture) { picture.setUrl(data.images[step]); }
    dots.paint(shown[step]);
    slider.value = step;
    slider.setAttribute('aria-valuetext', data.times[step]);
    clock.textContent = data.times[step];
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = '\u25B6';
    button.setAttribute('aria-label', data.labels.play);
  }
  function play() {
    clearInterval(timer);
    timer = setInterval(function () { show(step === last ? 0 : step + 1); }, 1000 / speed.value);
    button.textContent = '\u275A\u275A';
    button.setAttribute('aria-label', data.labels.pause);
  }
  control.onAdd = function () {
    var box = L.DomUtil.create('div', 'stvlm-box stvlm-player');
    box.setAttribute('role', 'group');
    box.setAttribute('aria-label', data.labels.over_time);
    L.DomEvent.disableClickPropagation(box);
    L.DomEvent.disableScrollPropagation(box);
    L.DomEvent.on(box, 'keydown', L.DomEvent.stopPropagation);
    button = part(box, 'button', data.labels.play);
    button.type = 'button';
    button.textContent = '\u25B6';
    slider = part(box, 'input', data.labels.time_step);
    slider.type = 'range';
    slider.min = 0;
    slider.max = last;
    slider.step = 1;
    clock = part(box, 'output');
    speed = part(box, 'select', data.labels.speed);
    [1, 2, 4, 8].forEach(function (rate) {
      var choice = part(speed, 'option');
      choice.value = rate;
      choice.textContent = rate + '/s';
    });
    speed.value = 2;
    if (data.measured.length) {
      var which = part(box, 'button', data.labels.swap);
      which.type = 'button';
      which.textContent = data.labels.forecast;
      which.setAttribute('aria-pressed', 'false');
      which.addEventListener('click', function () {
        shown = shown === data.values ? data.measured : data.values;
        which.textContent = shown === data.values ? data.labels.forecast : data.labels.came;
        which.setAttribute('aria-pressed', String(shown !== data.values));
        show(step);
      });
    }
    button.addEventListener('click', function () { if (timer) { stop(); } else { play(); } });
    slider.addEventListener('input', function () { stop(); show(Number(slider.value)); });
    speed.addEventListener('change', function () { if (timer) { play(); } });
    show(step);
    return box;
  };
  control.addTo(map);
}
