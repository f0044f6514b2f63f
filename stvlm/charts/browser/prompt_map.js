const all = q => [...document.querySelectorAll(q)], ring = document.getElementById('ring'), name = document.getElementById('name');
const say = document.querySelector('.told');
function light(node) {
  const dot = node === undefined ? null : document.querySelector(`circle[data-node="${node}"]`);
  for (const mark of [ring, name]) mark.setAttribute('visibility', dot ? 'visible' : 'hidden');
  if (!dot) return;
  const x = +dot.getAttribute('cx'), y = +dot.getAttribute('cy');
  ring.setAttribute('cx', x); ring.setAttribute('cy', y);
  name.textContent = dot.textContent;
  name.setAttribute('x', x); name.setAttribute('y', y < 30 ? y + 26 : y - 15);
  name.setAttribute('text-anchor', x < 80 ? 'start' : x > 220 ? 'end' : 'middle');
}
function choose(mark) {
  all('b.on').forEach(b => b.classList.remove('on'));
  mark.classList.add('on');
  say.textContent = mark.textContent + ': ' + told[+mark.dataset.mark];
  light(mark.dataset.node);
}
all('b').forEach(b => ['mouseenter', 'focus', 'click'].forEach(e => b.addEventListener(e, () => choose(b))));
all('circle[data-node]').forEach(dot => ['mouseenter', 'click'].forEach(e => dot.addEventListener(e, () => {
  all('b.on').forEach(b => b.classList.remove('on'));
  const mine = all(`b[data-node="${dot.dataset.node}"]`);
  mine.forEach(b => b.classList.add('on'));
  say.textContent = [dot.textContent, ...mine.map(b => b.textContent + ', ' + told[+b.dataset.mark])].join(' · ');
  light(dot.dataset.node);
})));
