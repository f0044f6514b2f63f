(function () {
  var data = JSON.parse(document.getElementById('steps').textContent), map = document.getElementById('map');
  var slider = document.getElementById('step'), button = document.getElementById('play'), timer = null;
  var when = map.querySelector('[data-mark="when"]'), said = document.getElementById('said');
  function show(step) {
    data.colour[step].forEach(function (place, node) {
      var dot = map.querySelector('[data-mark="sensor-' + node + '"]'), known = place >= 0;
      dot.setAttribute('fill', known ? data.colours[place] : 'none');
      dot.setAttribute('stroke', known ? data.edge : data.missing);
      dot.querySelector('title').textContent = data.names[node] + ' \u00b7 ' + data.text[step][node];
    });
    when.textContent = said.textContent = data.times[step];
    slider.value = step;
  }
  slider.addEventListener('input', function () { show(Number(slider.value)); });
  button.addEventListener('click', function () {
    if (timer) { clearInterval(timer); timer = null; button.textContent = 'Play'; return; }
    button.textContent = 'Stop';
    timer = setInterval(function () { show((Number(slider.value) + 1) % data.times.length); }, 600);
  });
})();
